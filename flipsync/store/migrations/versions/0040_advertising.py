"""The ad rates of listings, their days, and which goods are advertised."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

_TABLES = ("ad_listing", "ad_day")


def _owned(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        *_points(table, "listing_id", "listing"),
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


def _count(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "ad_listing",
        *_owned("ad_listing"),
        *_points("ad_listing", "account_id", "marketplace_account"),
        sa.Column("campaign_id", sa.String(), nullable=False),
        _count("rate_bps"),
        _moment("rate_since"),
        _count("resume_bps"),
        _moment("changed_at", nullable=True),
        sa.Column("effect_id", sa.Uuid(), nullable=True),
        _moment("first_at"),
        _moment("seen_at"),
        sa.UniqueConstraint("listing_id", name=op.f("uq_ad_listing_listing_id")),
        sa.CheckConstraint(
            "rate_bps BETWEEN 0 AND 10000 AND resume_bps BETWEEN 0 AND 10000", name=op.f("ck_ad_listing_rates")
        ),
    )
    op.create_index("ix_ad_listing_account_id", "ad_listing", ["account_id"])
    op.create_table(
        "ad_day",
        *_owned("ad_day"),
        sa.Column("day", sa.Date(), nullable=False),
        _count("rate_bps", nullable=True),
        sa.Column("offered", sa.Boolean(), nullable=False),
        *(_count(name) for name in ("units", "ad_units", "ad_sales_minor", "ad_fees_minor")),
        sa.Column("currency", sa.String(3), nullable=False),
        _count("impressions", nullable=True),
        _count("clicks", nullable=True),
        sa.UniqueConstraint("listing_id", "day", name=op.f("uq_ad_day_listing_id_day")),
        sa.CheckConstraint("units >= 0 AND ad_units >= 0", name=op.f("ck_ad_day_units")),
    )
    op.create_index("ix_ad_day_tenant_id_day", "ad_day", ["tenant_id", "day"])
    op.add_column("stock_item", sa.Column("advertised", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.execute("GRANT UPDATE (advertised) ON stock_item TO flipsync_app, flipsync_worker")
    for table in _TABLES:
        op.create_index(op.f(f"ix_{table}_tenant_id"), table, ["tenant_id"])
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    op.drop_column("stock_item", "advertised")
    for table in _TABLES:
        op.drop_table(table)
