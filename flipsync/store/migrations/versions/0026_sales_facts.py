"""What was sold as figures to add up: by order and SKU, by day; and which orders have to be counted again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_TABLES = ("sale_fact", "sku_day", "channel_day", "sale_due", "sales_count")
_FIGURES = (
    "orders cancelled units returned goods shipping tax refunds refunds_before_tax fees fees_told cost"
    " units_without_cost orders_without_fees"
).split()


def _owned() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("id", sa.Uuid(), primary_key=True, server_default=sa.text("gen_random_uuid()")),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
    )


def _figures(*key: sa.Column[Any]) -> tuple[sa.Column[Any], ...]:
    return (
        *_owned(),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        *key,
        sa.Column("currency", sa.String(3), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _FIGURES),
    )


def _once(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint("tenant_id", *columns, name=op.f(f"uq_{table}_{'_'.join(('tenant_id', *columns))}"))


def upgrade() -> None:
    op.create_table(
        "sale_fact",
        *_figures(
            sa.Column("order_id", sa.Uuid(), nullable=False),
            sa.Column("sku", sa.String(), nullable=False),
            sa.Column("lead", sa.Boolean(), nullable=False),
        ),
        _once("sale_fact", "order_id", "sku"),
    )
    op.create_index("ix_sale_fact_tenant_id_day", "sale_fact", ["tenant_id", "day", "order_id"])
    op.create_table(
        "sku_day",
        *_figures(sa.Column("sku", sa.String(), nullable=False)),
        _once("sku_day", "day", "account_id", "sku", "currency"),
    )
    op.create_table("channel_day", *_figures(), _once("channel_day", "day", "account_id", "currency"))
    op.create_table("sale_due", *_owned(), sa.Column("order_id", sa.Uuid(), nullable=False))
    op.create_index("ix_sale_due_tenant_id", "sale_due", ["tenant_id", "id"])
    op.create_table(
        "sales_count",
        *_owned(),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("walk_after", sa.Uuid()),
        sa.Column("walk_all", sa.Boolean(), nullable=False),
        sa.Column("walked_at", sa.DateTime(timezone=True)),
        sa.Column("fees_mark", sa.String(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True)),
        _once("sales_count"),
    )
    op.create_index(
        "ix_stock_movement_inflow",
        "stock_movement",
        ["tenant_id", "stock_item_id", "at"],
        postgresql_where=sa.text("on_hand_delta > 0"),
    )
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO flipsync_app, flipsync_worker")
    guards = (Path(__file__).parent.parent / "guards_0026.sql").read_text(encoding="utf-8")
    op.get_bind().connection.cursor().execute(guards)  # the driver itself: % is plain text there


def downgrade() -> None:
    for table in ("customer_order", "order_line", "refund"):
        op.execute(f"DROP TRIGGER sale_is_due ON {table}")
    op.execute("DROP FUNCTION sale_is_due()")
    op.drop_index("ix_stock_movement_inflow", "stock_movement")
    for table in _TABLES:
        op.drop_table(table)
