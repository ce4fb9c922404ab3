"""What a channel showed after our last write, and what somebody wrote there that is to stand."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ("shown", "overrides"):
        op.add_column("listing", sa.Column(column, JSONB(), nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("listing", "overrides")
    op.drop_column("listing", "shown")
