"""What agents may do: slices of hourly budgets, leased by processes; authority that outcomes have taken away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_TABLES = ("budget_slice", "agent_standing")


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
    op.create_index("ix_budget_slice_agent", "budget_slice", ["tenant_id", "agent", "taken_at"])
    op.create_table(
        "agent_standing",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("trusted", sa.Float(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("tenant_id", "agent", "kind", name=op.f("uq_agent_standing_tenant_id_agent_kind")),
        sa.CheckConstraint("level IN ('full','reduced','none')", name=op.f("ck_agent_standing_level")),
        sa.CheckConstraint("trusted BETWEEN 0 AND 1", name=op.f("ck_agent_standing_trusted")),
    )
    op.add_column("agent_decision", sa.Column("trusted", sa.Float()))
    for table in _TABLES:
        op.create_index(op.f(f"ix_{table}_tenant_id"), table, ["tenant_id"])
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO flipsync_worker")
        op.execute(f"GRANT SELECT ON {table} TO flipsync_app")
    # what was set in motion within the last hour counts: a spent slice of it, by agent
    op.execute(
        "INSERT INTO budget_slice (id, tenant_id, agent, granted, spent, taken_at, expires_at)"
        " SELECT gen_random_uuid(), d.tenant_id, d.agent, count(*), count(*), now(), now()"
        " FROM effect f JOIN proposal p ON p.id = f.proposal_id JOIN agent_decision d ON d.id = p.decision_id"
        " WHERE f.created_at > now() - interval '1 hour' GROUP BY d.tenant_id, d.agent"
    )


def downgrade() -> None:
    op.drop_column("agent_decision", "trusted")
    for table in _TABLES:
        op.drop_table(table)
