"""Automations: their versions, runs and steps, and which facts the engine is told of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_TABLES = ("workflow", "workflow_run", "workflow_step", "workflow_watch")


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _owned() -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
    )


def _of(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", column],
        [f"{parent}.tenant_id", f"{parent}.id"],
        name=op.f(f"fk_{table}_tenant_id_{column}"),
        ondelete="CASCADE",
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "workflow",
        *_owned(),
        _text("name"),
        sa.Column("version", sa.BigInteger(), nullable=False),
        _text("origin"),
        _text("state"),
        sa.Column("definition", postgresql.JSONB(), nullable=False),
        _text("note"),
        _moment("created_at"),
        sa.Column("created_by", sa.Uuid()),
        _moment("changed_at"),
        sa.CheckConstraint(
            "state IN ('active','paused','stopped','replaced','removed')", name=op.f("ck_workflow_state")
        ),
        sa.CheckConstraint("origin IN ('owner','built-in')", name=op.f("ck_workflow_origin")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_workflow_tenant_id_id")),
        sa.UniqueConstraint("tenant_id", "name", "version", name=op.f("uq_workflow_tenant_id_name_version")),
    )
    op.create_index(
        "uq_workflow_current",
        "workflow",
        ["tenant_id", "name"],
        unique=True,
        postgresql_where=sa.text("state IN ('active','paused','stopped')"),
    )
    op.create_table(
        "workflow_run",
        *_owned(),
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("began_id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid()),
        _text("subject_kind"),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        _text("state"),
        sa.Column("step", sa.BigInteger(), nullable=False),
        _text("why"),
        _moment("started_at"),
        _moment("ended_at", nullable=True),
        _of("workflow_run", "workflow_id", "workflow"),
        _of("workflow_run", "event_id", "event"),
        sa.CheckConstraint(
            "state IN ('running','undoing','done','failed','cancelled','quarantined')",
            name=op.f("ck_workflow_run_state"),
        ),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_workflow_run_tenant_id_id")),
        sa.UniqueConstraint("workflow_id", "event_id", name=op.f("uq_workflow_run_workflow_id_event_id")),
    )
    op.create_index("ix_workflow_run_workflow", "workflow_run", ["workflow_id", "started_at"])
    op.create_index("ix_workflow_run_subject", "workflow_run", ["tenant_id", "subject_id"])
    op.create_index(
        "ix_workflow_run_open", "workflow_run", ["workflow_id"], postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_table(
        "workflow_step",
        *_owned(),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("undo", sa.Boolean(), nullable=False),
        _text("kind"),
        _text("state"),
        _text("why"),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.Column("detail", postgresql.JSONB(), nullable=False),
        sa.Column("looks", sa.BigInteger(), nullable=False),
        _moment("began_at"),
        _moment("ended_at", nullable=True),
        _of("workflow_step", "run_id", "workflow_run"),
        sa.CheckConstraint("state IN ('waiting','done','skipped','failed')", name=op.f("ck_workflow_step_state")),
        sa.UniqueConstraint("run_id", "undo", "ordinal", name=op.f("uq_workflow_step_run_id_undo_ordinal")),
    )
    op.create_table(
        "workflow_watch",
        *_owned(),
        _text("event_type"),
        sa.Column("workflow_id", sa.Uuid()),
        sa.Column("run_id", sa.Uuid()),
        sa.Column("subject_id", sa.Uuid()),
        _of("workflow_watch", "workflow_id", "workflow"),
        _of("workflow_watch", "run_id", "workflow_run"),
        sa.CheckConstraint("run_id IS NOT NULL OR workflow_id IS NOT NULL", name=op.f("ck_workflow_watch_whose")),
    )
    op.create_index("ix_workflow_watch_told", "workflow_watch", ["tenant_id", "event_type", "subject_id"])
    told = sa.text("kind = 'tell'")
    op.create_index("ix_workflow_step_told", "workflow_step", ["tenant_id", "ended_at"], postgresql_where=told)
    for table, column in (
        ("workflow_step", "tenant_id"),
        ("workflow_watch", "tenant_id"),
        ("workflow_watch", "workflow_id"),
        ("workflow_watch", "run_id"),
    ):
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
    # the API writes down automations and reads the rest; the engine, a worker, runs them
    op.execute("GRANT SELECT, INSERT, UPDATE ON workflow TO flipsync_app, flipsync_worker")
    op.execute("GRANT SELECT, INSERT, DELETE ON workflow_watch TO flipsync_app, flipsync_worker")
    for table in ("workflow_run", "workflow_step"):
        op.execute(f"GRANT SELECT ON {table} TO flipsync_app")
        op.execute(f"GRANT SELECT, INSERT, UPDATE ON {table} TO flipsync_worker")


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
