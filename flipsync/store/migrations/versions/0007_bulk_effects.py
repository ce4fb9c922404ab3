"""Effects that go out in one call with others, and an index by which each account has its turn when work is claimed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_UNFINISHED = sa.text("finished_at IS NULL")


def upgrade() -> None:
    op.add_column("effect", sa.Column("bulk", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.create_index(
        "ix_effect_turn", "effect", ["account_id", "priority", "id"], unique=False, postgresql_where=_UNFINISHED
    )
    op.drop_index("ix_effect_claim", table_name="effect")
    # when something is done is the worker's to say, what is done is not
    op.execute("GRANT UPDATE (bulk, priority) ON effect TO flipsync_worker")


def downgrade() -> None:
    op.execute("REVOKE UPDATE (priority) ON effect FROM flipsync_worker")
    op.create_index("ix_effect_claim", "effect", ["priority", "id"], unique=False, postgresql_where=_UNFINISHED)
    op.drop_index("ix_effect_turn", table_name="effect")
    op.drop_column("effect", "bulk")
