"""What agents' confidence counts as, by what came of it; kept with each decision that it bore on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "recalibration",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("slope", sa.Float(), nullable=False),
        sa.Column("shift", sa.Float(), nullable=False),
        sa.Column("decisions", sa.BigInteger(), nullable=False),
        sa.Column("fitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("tenant_id", "agent", "kind", name=op.f("uq_recalibration_tenant_id_agent_kind")),
        sa.CheckConstraint("slope >= 0", name=op.f("ck_recalibration_slope")),
    )
    op.create_index(op.f("ix_recalibration_tenant_id"), "recalibration", ["tenant_id"])
    op.execute("ALTER TABLE recalibration ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON recalibration USING (tenant_id = (SELECT current_tenant()))"
        " WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON recalibration TO flipsync_worker")
    op.execute("GRANT SELECT ON recalibration TO flipsync_app")
    op.add_column("agent_decision", sa.Column("recalibration", postgresql.JSONB()))


def downgrade() -> None:
    op.drop_column("agent_decision", "recalibration")
    op.drop_table("recalibration")
