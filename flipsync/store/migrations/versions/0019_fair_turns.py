"""An index by tenant to claim agents' tasks by turns: no tenant waits for another's backlog."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_OPEN = sa.text("state IN ('pending','leased')")


def upgrade() -> None:
    op.drop_index("ix_agent_task_claim", "agent_task")
    columns = ["agent", "tenant_id", "priority", "id"]
    op.create_index("ix_agent_task_turn", "agent_task", columns, postgresql_where=_OPEN)


def downgrade() -> None:
    op.drop_index("ix_agent_task_turn", "agent_task")
    op.create_index("ix_agent_task_claim", "agent_task", ["agent", "priority", "id"], postgresql_where=_OPEN)
