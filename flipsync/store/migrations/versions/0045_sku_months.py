"""What was sold by SKU and month, so that a year is not added up from its days."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

_FIGURES = (
    "orders cancelled units returned goods shipping tax refunds refunds_before_tax fees fees_told cost"
    " units_without_cost orders_without_fees"
).split()


def upgrade() -> None:
    op.create_table(
        "sku_month",
        sa.Column("id", sa.Uuid(), primary_key=True, server_default=sa.text("gen_random_uuid()")),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _FIGURES),
        sa.UniqueConstraint(
            "tenant_id",
            "day",
            "account_id",
            "sku",
            "currency",
            name=op.f("uq_sku_month_tenant_id_day_account_id_sku_currency"),
        ),
    )
    sums = ", ".join(f"sum({name})" for name in _FIGURES)
    op.execute(
        f"INSERT INTO sku_month (tenant_id, day, account_id, sku, currency, {', '.join(_FIGURES)})"  # noqa: S608
        f" SELECT tenant_id, date_trunc('month', day)::date, account_id, sku, currency, {sums} FROM sku_day"
        " GROUP BY 1, 2, 3, 4, 5"
    )
    op.execute("ALTER TABLE sku_month ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON sku_month USING (tenant_id = (SELECT current_tenant()))"
        " WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON sku_month TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    op.drop_table("sku_month")
