"""The decision that a transfer to a channel's warehouse came from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("stock_transfer", sa.Column("decision_id", sa.Uuid(), nullable=True))


def downgrade() -> None:
    op.drop_column("stock_transfer", "decision_id")
