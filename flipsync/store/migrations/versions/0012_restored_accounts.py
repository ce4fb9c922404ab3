"""Accounts whose books were put back from a backup, and when what they show was taken over since."""

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


def downgrade() -> None:
    for name in reversed(_COLUMNS):
        op.drop_column("marketplace_account", name)
