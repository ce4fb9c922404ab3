"""Runs of automations that are long over may be dropped: their steps and watches go with them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0048"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_workflow_run_ended",
        "workflow_run",
        ["tenant_id", "ended_at"],
        postgresql_where=sa.text("ended_at IS NOT NULL"),
    )
    op.create_index(
        "ix_workflow_run_parent", "workflow_run", ["parent_id"], postgresql_where=sa.text("parent_id IS NOT NULL")
    )
    op.execute("GRANT DELETE ON workflow_run TO flipsync_worker")


def downgrade() -> None:
    op.execute("REVOKE DELETE ON workflow_run FROM flipsync_worker")
    op.drop_index("ix_workflow_run_parent", "workflow_run")
    op.drop_index("ix_workflow_run_ended", "workflow_run")
