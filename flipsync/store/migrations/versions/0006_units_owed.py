"""What buyers wait for is looked up whenever units are given to a channel: an index of only those lines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_order_line_short", "order_line", ["listing_id"], postgresql_where=sa.text("short > 0"))


def downgrade() -> None:
    op.drop_index("ix_order_line_short", "order_line")
