"""Reports that are made by themselves, and each as it was made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

_TABLES = ("report_schedule", "report_run")


def _moment(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _word(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.String(), nullable=False)


def _count(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _owned() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
    )


def _points(table: str, column: str, parent: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column(column, sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", column],
            [f"{parent}.tenant_id", f"{parent}.id"],
            name=op.f(f"fk_{table}_tenant_id_{column}"),
            ondelete="CASCADE",
        ),
    )


def _check(table: str, name: str, what: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(what, name=op.f(f"ck_{table}_{name}"))


def upgrade() -> None:
    op.create_table(
        "report_schedule",
        *_owned(),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_report_schedule_tenant_id_id")),
        *_points("report_schedule", "user_id", "app_user"),
        *(_word(name) for name in ("kind", "format", "rhythm", "at")),
        *(_count(name, nullable=True) for name in ("weekday", "day")),
        *(_moment(name, nullable=False) for name in ("next_at", "created_at")),
        _moment("ended_at"),
        _word("why_ended"),
        _check("report_schedule", "rhythm", "rhythm IN ('daily','weekly','monthly')"),
        _check("report_schedule", "format", "format IN ('csv','xlsx','pdf')"),
        _check("report_schedule", "weekday", "(rhythm = 'weekly') = (weekday IS NOT NULL) AND weekday BETWEEN 0 AND 6"),
        _check("report_schedule", "day", "(rhythm = 'monthly') = (day IS NOT NULL) AND day BETWEEN 1 AND 28"),
    )
    op.create_index("ix_report_schedule_user_id", "report_schedule", ["user_id"])
    op.create_index(
        "ix_report_schedule_due",
        "report_schedule",
        ["tenant_id", "next_at"],
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "report_run",
        *_owned(),
        *_points("report_run", "schedule_id", "report_schedule"),
        _moment("due_at", nullable=False),
        *(sa.Column(name, sa.Date(), nullable=False) for name in ("first", "last")),
        _word("state"),
        _count("attempts"),
        *(_word(name) for name in ("detail", "file_name")),
        _count("size"),
        sa.Column("content", sa.LargeBinary()),
        _moment("not_before", nullable=False),
        *(_moment(name) for name in ("lease_until", "finished_at")),
        sa.UniqueConstraint("schedule_id", "due_at", name=op.f("uq_report_run_schedule_id_due_at")),
        _check("report_run", "state", "state IN ('waiting','making','made','failed')"),
    )
    op.create_index("ix_report_run_tenant_id", "report_run", ["tenant_id"])
    op.create_index("ix_report_run_schedule_id", "report_run", ["schedule_id"])
    op.create_index(
        "ix_report_run_open", "report_run", ["tenant_id", "not_before"], postgresql_where=sa.text("finished_at IS NULL")
    )
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE ON {table} TO flipsync_app, flipsync_worker")
    op.execute("GRANT DELETE ON report_run TO flipsync_worker")


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
