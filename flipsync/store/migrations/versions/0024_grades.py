"""Decisions are graded: what each proposal predicted, what came of it, and how many there were."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_TABLES = ("decision_outcome", "decision_tally", "graded_through")


def _owned() -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
    )


def _same(column: str, parent: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column(column, sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", column],
            [f"{parent}.tenant_id", f"{parent}.id"],
            name=op.f(f"fk_decision_outcome_tenant_id_{column}"),
            ondelete="CASCADE",
        ),
    )


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "decision_outcome",
        *_owned(),
        *_same("decision_id", "agent_decision"),
        *_same("proposal_id", "proposal"),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("drawn", sa.Boolean(), nullable=False),
        _moment("decided_at"),
        _moment("due_at"),
        _moment("look_at"),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("outcome", sa.BigInteger()),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("evidence_kind", sa.String()),
        sa.Column("evidence_id", sa.Uuid()),
        _moment("graded_at", nullable=True),
        sa.UniqueConstraint("proposal_id", name=op.f("uq_decision_outcome_proposal_id")),
        sa.CheckConstraint("state IN ('waiting','known','never')", name=op.f("ck_decision_outcome_state")),
        sa.CheckConstraint(
            "(outcome IS NOT NULL) = (state = 'known') AND outcome IN (0, 1)", name=op.f("ck_decision_outcome_outcome")
        ),
    )
    op.create_index(
        "ix_decision_outcome_look_at",
        "decision_outcome",
        ["tenant_id", "look_at"],
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index("ix_decision_outcome_agent", "decision_outcome", ["tenant_id", "agent", "kind", "due_at"])
    op.create_index("ix_decision_outcome_decision_id", "decision_outcome", ["decision_id"])
    op.create_table(
        "decision_tally",
        *_owned(),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("tenant_id", "agent", "kind", name=op.f("uq_decision_tally_tenant_id_agent_kind")),
    )
    op.create_table(
        "graded_through",
        *_owned(),
        sa.Column("decision_id", sa.Uuid(), nullable=False),
        _moment("at"),
        sa.UniqueConstraint("tenant_id", name=op.f("uq_graded_through_tenant_id")),
    )
    for table in _TABLES:
        op.create_index(op.f(f"ix_{table}_tenant_id"), table, ["tenant_id"])
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO flipsync_worker")
        op.execute(f"GRANT SELECT ON {table} TO flipsync_app")


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
