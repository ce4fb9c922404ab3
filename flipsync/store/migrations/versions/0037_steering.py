"""What binds agents and keeps them apart: directives, leases of listings; plans with what came of them."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

_TABLES = ("initiative", "plan", "listing_lease", "directive")


def _owned() -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
    )


def _parent(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", column],
        [f"{parent}.tenant_id", f"{parent}.id"],
        name=op.f(f"fk_{table}_tenant_id_{column}"),
        ondelete="CASCADE",
    )


def _moments(*names: str, nullable: bool = False) -> list[sa.Column[datetime]]:
    return [sa.Column(name, sa.DateTime(timezone=True), nullable=nullable) for name in names]


def upgrade() -> None:
    op.create_table(
        "directive",
        *_owned(),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("account_id", sa.Uuid()),
        sa.Column("category", sa.String()),
        sa.Column("patience_days", sa.BigInteger()),
        sa.Column("limit_minor", sa.BigInteger()),
        sa.Column("reason", sa.String(), nullable=False),
        *_moments("starts_at", "ends_at"),
        *_moments("ended_at", nullable=True),
        sa.Column("ended_why", sa.String(), nullable=False),
        sa.Column("decision_id", sa.Uuid()),
        sa.Column("given_by", sa.Uuid()),
        _parent("directive", "account_id", "marketplace_account"),
        sa.CheckConstraint(
            "kind IN ('clear-stock','hold-prices','cap-labels','list-nothing')", name=op.f("ck_directive_kind")
        ),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_directive_time")),
        sa.CheckConstraint("(kind = 'clear-stock') = (patience_days IS NOT NULL)", name=op.f("ck_directive_patience")),
        sa.CheckConstraint("(kind = 'cap-labels') = (limit_minor IS NOT NULL)", name=op.f("ck_directive_limit")),
    )
    op.create_index("ix_directive_open", "directive", ["tenant_id"], postgresql_where=sa.text("ended_at IS NULL"))
    op.create_index("ix_directive_account_id", "directive", ["account_id"])
    op.create_table(
        "listing_lease",
        *_owned(),
        sa.Column("listing_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("decision_id", sa.Uuid(), nullable=False),
        *_moments("until"),
        _parent("listing_lease", "listing_id", "listing"),
        sa.UniqueConstraint("tenant_id", "listing_id", "part", name=op.f("uq_listing_lease_tenant_id_listing_id_part")),
        sa.CheckConstraint("part IN ('price','words','presence')", name=op.f("ck_listing_lease_part")),
    )
    op.create_index("ix_listing_lease_listing_id", "listing_lease", ["listing_id"])
    op.create_index("ix_listing_lease_until", "listing_lease", ["tenant_id", "until"])
    op.create_table(
        "plan",
        *_owned(),
        *_moments("starts_at", "ends_at"),
        sa.Column("goals", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        *_moments("forecast_origin"),
        *_moments("replaced_at", nullable=True),
        sa.Column("decision_id", sa.Uuid()),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_plan_tenant_id_id")),
        sa.UniqueConstraint("tenant_id", "starts_at", name=op.f("uq_plan_tenant_id_starts_at")),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_plan_time")),
    )
    op.create_table(
        "initiative",
        *_owned(),
        sa.Column("plan_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("figure", sa.String(), nullable=False),
        sa.Column("account_id", sa.Uuid()),
        sa.Column("currency", sa.String(3)),
        sa.Column("skus", postgresql.JSONB(), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=False) for name in ("base", "expected", "target", "probability")),
        sa.Column("quantiles", postgresql.JSONB(), nullable=False),
        sa.Column("reached", sa.Float()),
        *_moments("reached_at", nullable=True),
        _parent("initiative", "plan_id", "plan"),
        _parent("initiative", "account_id", "marketplace_account"),
        sa.CheckConstraint("figure IN ('goods','units','aged-units')", name=op.f("ck_initiative_figure")),
        sa.CheckConstraint("probability BETWEEN 0 AND 1", name=op.f("ck_initiative_probability")),
    )
    for column in ("plan_id", "account_id"):
        op.create_index(f"ix_initiative_{column}", "initiative", [column])
    for table in _TABLES:
        if table != "plan":  # its unique keys begin with the tenant
            op.create_index(op.f(f"ix_{table}_tenant_id"), table, ["tenant_id"])
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        app = "flipsync_app, " if table != "listing_lease" else ""
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {app}flipsync_worker")
    op.execute("GRANT SELECT ON listing_lease TO flipsync_app")


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
