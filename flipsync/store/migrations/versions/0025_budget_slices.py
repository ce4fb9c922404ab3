"""Budgets of agents hold across processes: each leases slices of the hour's budget."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "budget_slice",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("spent >= 0 AND spent <= granted", name=op.f("ck_budget_slice_spent")),
    )
    op.create_index(op.f("ix_budget_slice_tenant_id"), "budget_slice", ["tenant_id"])
    op.create_index("ix_budget_slice_agent", "budget_slice", ["tenant_id", "agent", "taken_at"])
    op.execute("ALTER TABLE budget_slice ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON budget_slice USING (tenant_id = (SELECT current_tenant()))"
        " WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON budget_slice TO flipsync_worker")
    op.execute("GRANT SELECT ON budget_slice TO flipsync_app")
    # what was set in motion within the last hour counts: a spent slice of it, by agent
    op.execute(
        "INSERT INTO budget_slice (id, tenant_id, agent, granted, spent, taken_at, expires_at)"
        " SELECT gen_random_uuid(), d.tenant_id, d.agent, count(*), count(*), now(), now()"
        " FROM effect f JOIN proposal p ON p.id = f.proposal_id JOIN agent_decision d ON d.id = p.decision_id"
        " WHERE f.created_at > now() - interval '1 hour' GROUP BY d.tenant_id, d.agent"
    )


def downgrade() -> None:
    op.drop_table("budget_slice")
