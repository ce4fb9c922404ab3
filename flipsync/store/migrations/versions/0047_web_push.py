"""Browsers as a way to a person, and what an installation has once: the key that push services know it by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None

_CHANNEL = "ck_notification_destination_channel"
_PUSH = "ck_notification_destination_push"


def upgrade() -> None:
    op.add_column("notification_destination", sa.Column("mark", sa.String(), nullable=True))
    op.add_column("notification_destination", sa.Column("session_id", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_notification_destination_mark",
        "notification_destination",
        ["tenant_id", "mark"],
        postgresql_where=sa.text("mark IS NOT NULL"),
    )
    op.drop_constraint(op.f(_CHANNEL), "notification_destination")
    op.create_check_constraint(op.f(_CHANNEL), "notification_destination", "channel IN ('email','sms','chat','push')")
    op.create_check_constraint(op.f(_PUSH), "notification_destination", "(channel = 'push') = (session_id IS NOT NULL)")
    op.create_table(
        "installation_secret",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_installation_secret")),
    )
    # made once: nobody changes or drops it
    op.execute("GRANT SELECT, INSERT ON installation_secret TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    op.drop_table("installation_secret")
    op.execute("DELETE FROM notification_destination WHERE channel = 'push'")
    op.drop_constraint(op.f(_PUSH), "notification_destination")
    op.drop_constraint(op.f(_CHANNEL), "notification_destination")
    op.create_check_constraint(op.f(_CHANNEL), "notification_destination", "channel IN ('email','sms','chat')")
    op.drop_column("notification_destination", "session_id")
    op.drop_column("notification_destination", "mark")
