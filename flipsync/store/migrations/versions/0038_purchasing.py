"""Suppliers, what they ask, orders placed with them, and what arrived."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

_TABLES = ("supplier", "supplier_offer", "purchase_order", "purchase_order_line", "purchase_receipt")


def _moment(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _word(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _count(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _owned(table: str, *, parent: bool = True) -> tuple[sa.schema.SchemaItem, ...]:
    columns: tuple[sa.schema.SchemaItem, ...] = (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
    )
    if parent:
        columns += (sa.UniqueConstraint("tenant_id", "id", name=op.f(f"uq_{table}_tenant_id_id")),)
    return columns


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
        "supplier",
        *_owned("supplier"),
        _word("name"),
        sa.Column("currency", sa.String(3), nullable=False),
        _word("email", nullable=True),
        sa.Column("lead_mean_days", sa.Float(), nullable=False),
        sa.Column("lead_spread_days", sa.Float(), nullable=False),
        _count("least_order_minor"),
        sa.Column("active", sa.Boolean(), nullable=False),
        _word("note"),
        _count("version"),
        _moment("created_at", nullable=False),
        _moment("updated_at", nullable=False),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_supplier_tenant_id_name")),
        _check("supplier", "lead", "lead_mean_days > 0 AND lead_spread_days >= 0"),
        _check("supplier", "least_order", "least_order_minor >= 0"),
    )
    op.create_table(
        "supplier_offer",
        *_owned("supplier_offer"),
        *_points("supplier_offer", "supplier_id", "supplier"),
        *_points("supplier_offer", "variant_id", "variant"),
        _word("supplier_sku"),
        _count("pack_units"),
        _count("pack_cost_minor"),
        _count("least_units"),
        _moment("valid_from"),
        _moment("valid_until"),
        _moment("created_at", nullable=False),
        _moment("updated_at", nullable=False),
        sa.UniqueConstraint("supplier_id", "variant_id", name=op.f("uq_supplier_offer_supplier_id_variant_id")),
        _check("supplier_offer", "positive", "pack_units > 0 AND pack_cost_minor > 0 AND least_units >= 0"),
        _check("supplier_offer", "validity", "valid_until IS NULL OR valid_from IS NULL OR valid_until > valid_from"),
    )
    op.create_index("ix_supplier_offer_variant_id", "supplier_offer", ["variant_id"])
    op.create_table(
        "purchase_order",
        *_owned("purchase_order"),
        *_points("purchase_order", "supplier_id", "supplier"),
        _count("number"),
        _word("state"),
        sa.Column("currency", sa.String(3), nullable=False),
        _count("freight_minor"),
        _count("duty_minor"),
        _word("note"),
        *(
            _moment(f"{name}_at")
            for name in ("expected", "latest", "placed", "ordered", "received", "cancelled", "closed")
        ),
        _word("reason"),
        sa.Column("decision_id", sa.Uuid(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        _count("version"),
        _word("mail"),
        _word("mail_about"),
        _count("mail_attempts"),
        _word("mail_detail"),
        _moment("mail_not_before"),
        _moment("mail_lease_until"),
        _moment("created_at", nullable=False),
        _moment("updated_at", nullable=False),
        sa.UniqueConstraint("tenant_id", "number", name=op.f("uq_purchase_order_tenant_id_number")),
        sa.UniqueConstraint("decision_id", name=op.f("uq_purchase_order_decision_id")),
        _check(
            "purchase_order",
            "state",
            "state IN ('draft','placing','ordered','partly_received','received','cancelled')",
        ),
        _check("purchase_order", "mail", "mail IN ('none','waiting','sending','sent','rejected','unknown')"),
        _check("purchase_order", "mail_about", "mail_about IN ('order','cancellation')"),
        _check("purchase_order", "charges", "freight_minor >= 0 AND duty_minor >= 0"),
    )
    op.create_index("ix_purchase_order_supplier_id", "purchase_order", ["supplier_id", "placed_at"])
    op.create_index(
        "ix_purchase_order_open",
        "purchase_order",
        ["tenant_id"],
        postgresql_where=sa.text("state IN ('placing','ordered','partly_received')"),
    )
    op.create_index(
        "ix_purchase_order_mail",
        "purchase_order",
        ["tenant_id", "mail_not_before"],
        postgresql_where=sa.text("mail IN ('waiting','sending')"),
    )
    op.create_table(
        "purchase_order_line",
        *_owned("purchase_order_line"),
        *_points("purchase_order_line", "order_id", "purchase_order"),
        *_points("purchase_order_line", "variant_id", "variant"),
        _word("supplier_sku"),
        _count("units"),
        _count("cost_minor"),
        _count("received"),
        sa.UniqueConstraint("order_id", "variant_id", name=op.f("uq_purchase_order_line_order_id_variant_id")),
        _check("purchase_order_line", "positive", "units > 0 AND cost_minor > 0 AND received >= 0"),
    )
    op.create_index("ix_purchase_order_line_variant_id", "purchase_order_line", ["variant_id"])
    op.create_table(
        "purchase_receipt",
        *_owned("purchase_receipt", parent=False),
        *_points("purchase_receipt", "line_id", "purchase_order_line"),
        _word("key"),
        _count("units"),
        _count("landed_minor"),
        _moment("at", nullable=False),
        _word("note"),
        sa.UniqueConstraint("line_id", "key", name=op.f("uq_purchase_receipt_line_id_key")),
        _check("purchase_receipt", "positive", "units > 0 AND landed_minor >= 0"),
    )
    op.create_index(op.f("ix_purchase_receipt_tenant_id"), "purchase_receipt", ["tenant_id"])
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        deletes = ", DELETE" if table == "supplier_offer" else ""
        op.execute(f"GRANT SELECT, INSERT, UPDATE{deletes} ON {table} TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
