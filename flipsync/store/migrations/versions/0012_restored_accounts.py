"""Accounts put back from a backup, versions of what people change of them, and edits on channels, to be listed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_COLUMNS = ("restored_at", "reconciled_at")


def upgrade() -> None:
    for name in _COLUMNS:
        op.add_column("marketplace_account", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column("marketplace_account", sa.Column("version", sa.BigInteger(), nullable=False, server_default="1"))
    op.create_index(
        "ix_event_listing_edited", "event", ["tenant_id", "id"], postgresql_where=sa.text("type = 'ListingEdited'")
    )


def downgrade() -> None:
    op.drop_index("ix_event_listing_edited", "event")
    op.drop_column("marketplace_account", "version")
    for name in reversed(_COLUMNS):
        op.drop_column("marketplace_account", name)
