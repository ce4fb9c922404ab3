"""Agents' tasks are found by what is open or failed: an index of all of a tenant's misled claims over a backlog."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_agent_task_tenant_id", "agent_task")
    op.create_index(
        "ix_agent_task_failed", "agent_task", ["tenant_id", "id"], postgresql_where=sa.text("state = 'failed'")
    )


def downgrade() -> None:
    op.drop_index("ix_agent_task_failed", "agent_task")
    op.create_index("ix_agent_task_tenant_id", "agent_task", ["tenant_id"])
