"""Where people are told outside the app, and what came of telling them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_TABLES = ("notification_destination", "notification_delivery")


def _moment(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _a_persons(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["app_user.tenant_id", "app_user.id"],
            name=op.f(f"fk_{table}_tenant_id_user_id"),
            ondelete="CASCADE",
        ),
    )


def upgrade() -> None:
    op.create_table(
        "notification_destination",
        *_a_persons("notification_destination"),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("shown", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        _moment("created_at", nullable=False),
        sa.CheckConstraint(
            "state IN ('untried','working','refused','removed')", name=op.f("ck_notification_destination_state")
        ),
        sa.CheckConstraint("channel IN ('email','sms','chat')", name=op.f("ck_notification_destination_channel")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_notification_destination_tenant_id_id")),
    )
    op.create_index(op.f("ix_notification_destination_user_id"), "notification_destination", ["user_id"])
    op.create_table(
        "notification_delivery",
        *_a_persons("notification_delivery"),
        sa.Column("destination_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "destination_id"],
            ["notification_destination.tenant_id", "notification_destination.id"],
            name=op.f("fk_notification_delivery_tenant_id_destination_id"),
            ondelete="CASCADE",
        ),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("about", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        _moment("created_at", nullable=False),
        _moment("not_before", nullable=False),
        _moment("lease_until"),
        _moment("finished_at"),
        sa.CheckConstraint("purpose IN ('one','digest','test')", name=op.f("ck_notification_delivery_purpose")),
        sa.CheckConstraint(
            "state IN ('waiting','sending','sent','rejected','unknown','pointless')",
            name=op.f("ck_notification_delivery_state"),
        ),
    )
    op.create_index("ix_notification_delivery_person", "notification_delivery", ["user_id", "id"])
    op.create_index(
        "ix_notification_delivery_open",
        "notification_delivery",
        ["tenant_id", "not_before"],
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index(op.f("ix_notification_delivery_tenant_id"), "notification_delivery", ["tenant_id"])
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
