"""Accounts whose listings have been looked at; those that sell already were connected before that was asked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("marketplace_account", sa.Column("surveyed_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE marketplace_account SET surveyed_at = created_at")


def downgrade() -> None:
    op.drop_column("marketplace_account", "surveyed_at")
