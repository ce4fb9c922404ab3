"""Forecasts that were made, compared later with what sold; and trends that were told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_TABLES = ("trend", "forecast", "forecast_run")


def _owned(table: str, **parents: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        *(sa.Column(column, sa.Uuid(), nullable=False) for column in parents),
        *(
            sa.ForeignKeyConstraint(
                ["tenant_id", column],
                [f"{parent}.tenant_id", f"{parent}.id"],
                name=op.f(f"fk_{table}_tenant_id_{column}"),
                ondelete="CASCADE",
            )
            for column, parent in parents.items()
        ),
    )


def _figures(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Float(), nullable=False) for name in names]


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "forecast_run",
        *_owned("forecast_run"),
        sa.Column("origin", sa.DateTime(timezone=True), nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        sa.Column("inside", sa.Float(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("baseline_wins", sa.Boolean(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("rmsse", postgresql.JSONB(), nullable=False),
        sa.Column("coverage", sa.Float()),
        sa.Column("series", sa.BigInteger(), nullable=False),
        sa.Column("code_version", sa.String(), nullable=False),
        sa.Column("decision_id", sa.Uuid()),
        sa.Column("weeks_judged", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_forecast_run_tenant_id_id")),
        sa.UniqueConstraint("tenant_id", "origin", name=op.f("uq_forecast_run_tenant_id_origin")),
    )
    op.create_table(
        "forecast",
        *_owned("forecast", run_id="forecast_run", stock_item_id="stock_item", account_id="marketplace_account"),
        *_figures("weekly", "low", "high"),
        sa.Column("path", postgresql.JSONB()),
        *_figures("scale", "own_share", "weeks_on_shelf"),
        *_counts("units_sold", "weeks"),
        *_figures("sold", "expected"),
        *_counts("covered"),
        *_figures("squared", "pinball"),
        sa.UniqueConstraint(
            "run_id", "stock_item_id", "account_id", name=op.f("uq_forecast_run_id_stock_item_id_account_id")
        ),
    )
    op.create_table(
        "trend",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("stock_item_id", sa.Uuid()),
        sa.Column("category", sa.String()),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        *_figures("ratio", "q"),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(), nullable=False),
        sa.Column("decision_id", sa.Uuid()),
        sa.ForeignKeyConstraint(
            ["tenant_id", "stock_item_id"],
            ["stock_item.tenant_id", "stock_item.id"],
            name=op.f("fk_trend_tenant_id_stock_item_id"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("kind IN ('rising','falling','season','spike','slump')", name=op.f("ck_trend_kind")),
        sa.CheckConstraint("(stock_item_id IS NULL) <> (category IS NULL)", name=op.f("ck_trend_subject")),
    )
    for column in ("tenant_id", "stock_item_id"):
        op.create_index(op.f(f"ix_trend_{column}"), "trend", [column])
    for column in ("tenant_id", "stock_item_id", "account_id"):
        op.create_index(op.f(f"ix_forecast_{column}"), "forecast", [column])
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
