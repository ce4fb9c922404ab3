"""Experiments and their trials, policies with their stages, and what policies chose."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_TABLES = ("experiment", "experiment_trial", "policy_version", "policy_stage", "policy_choice")


def _own(table: str, *, parent: bool = False) -> tuple[sa.schema.SchemaItem, ...]:
    columns: tuple[sa.schema.SchemaItem, ...] = (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
    )
    key = sa.UniqueConstraint("tenant_id", "id", name=op.f(f"uq_{table}_tenant_id_id"))
    return (*columns, key) if parent else columns


def _same(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", column],
        [f"{parent}.tenant_id", f"{parent}.id"],
        name=op.f(f"fk_{table}_tenant_id_{column}"),
        ondelete="CASCADE",
    )


def _id(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Uuid(), nullable=nullable)


def _word(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.String(), nullable=False)


def _count(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, JSONB(), nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _one_of(table: str, column: str, *words: str) -> sa.CheckConstraint:
    told = ",".join(f"'{word}'" for word in words)
    return sa.CheckConstraint(f"{column} IN ({told})", name=op.f(f"ck_{table}_{column}"))


def upgrade() -> None:
    op.create_table(
        "experiment",
        *_own("experiment", parent=True),
        *(_word("problem"), _count("seed"), _count("samples"), _word("code_version"), _json("data"), _word("cause")),
        *(
            _word("state"),
            _word("error"),
            _json("result"),
            _moment("started_at"),
            _moment("finished_at", nullable=True),
        ),
        _one_of("experiment", "state", "running", "finished", "failed"),
    )
    op.create_index("ix_experiment_problem", "experiment", ["tenant_id", "problem", "started_at"])
    op.create_table(
        "experiment_trial",
        *_own("experiment_trial"),
        *(_id("experiment_id"), _count("number"), _word("state"), _json("params"), _json("scores"), _json("memory")),
        _moment("updated_at"),
        _same("experiment_trial", "experiment_id", "experiment"),
        sa.UniqueConstraint("experiment_id", "number", name=op.f("uq_experiment_trial_experiment_id_number")),
        _one_of("experiment_trial", "state", "running", "finished", "stopped", "failed"),
    )
    op.create_table(
        "policy_version",
        *_own("policy_version", parent=True),
        *(_word("name"), _word("kind"), _word("version"), _word("digest"), _word("artefact")),
        *(_id("experiment_id", nullable=True), _word("code_version"), _json("data"), _json("seeds"), _json("scores")),
        *(_word("stage"), _moment("staged_at"), _moment("created_at")),
        _same("policy_version", "experiment_id", "experiment"),
        sa.UniqueConstraint("tenant_id", "name", "digest", name=op.f("uq_policy_version_tenant_id_name_digest")),
        _one_of("policy_version", "stage", "candidate", "shadow", "canary", "live", "retired"),
    )
    op.create_index(
        "uq_policy_version_stage",
        "policy_version",
        ["tenant_id", "name", "stage"],
        unique=True,
        postgresql_where=sa.text("stage IN ('shadow','canary','live')"),
    )
    op.create_table(
        "policy_stage",
        *_own("policy_stage"),
        *(_id("policy_id"), _word("was"), _word("becomes"), _word("reason"), _json("checks"), _moment("at")),
        _same("policy_stage", "policy_id", "policy_version"),
    )
    op.create_index("ix_policy_stage_policy_id", "policy_stage", ["policy_id", "at"])
    op.create_table(
        "policy_choice",
        *_own("policy_choice"),
        *(_id("policy_id", nullable=True), _id("listing_id"), _id("decision_id"), _word("role"), _count("rung")),
        sa.Column("chance", sa.Float(), nullable=False),
        *(_count("price_minor"), _count("current_minor"), _word("currency"), _moment("at")),
        _same("policy_choice", "policy_id", "policy_version"),
        _same("policy_choice", "listing_id", "listing"),
        _same("policy_choice", "decision_id", "agent_decision"),
        sa.UniqueConstraint(
            "decision_id", "listing_id", "role", name=op.f("uq_policy_choice_decision_id_listing_id_role")
        ),
        _one_of("policy_choice", "role", "acting", "canary", "shadow"),
    )
    op.create_index("ix_policy_choice_at", "policy_choice", ["tenant_id", "at"])
    for table in _TABLES:
        if table not in ("experiment", "policy_version"):  # their key begins with the tenant
            op.create_index(op.f(f"ix_{table}_tenant_id"), table, ["tenant_id"])
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE ON {table} TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
