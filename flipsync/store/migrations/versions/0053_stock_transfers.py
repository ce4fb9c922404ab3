"""Units that are sent from our shelf to a channel's own warehouse."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0053"
down_revision = "0051"
branch_labels = None
depends_on = None

_KINDS = "'receive','count','reserve','release','ship','return'"


def _moment(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _count(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _points(column: str, parent: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column(column, sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", column],
            [f"{parent}.tenant_id", f"{parent}.id"],
            name=op.f(f"fk_stock_transfer_tenant_id_{column}"),
            ondelete="CASCADE",
        ),
    )


def _check(name: str, what: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(what, name=op.f(f"ck_stock_transfer_{name}"))


def _kinds(kinds: str) -> None:
    op.drop_constraint(op.f("ck_stock_movement_kind"), "stock_movement", type_="check")
    op.create_check_constraint(op.f("ck_stock_movement_kind"), "stock_movement", f"kind IN ({kinds})")


def upgrade() -> None:
    op.create_table(
        "stock_transfer",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_stock_transfer_tenant_id_id")),
        _count("number"),
        *_points("account_id", "marketplace_account"),
        *_points("from_item_id", "stock_item"),
        *_points("to_item_id", "stock_item"),
        sa.Column("state", sa.String(), nullable=False),
        *(_count(name) for name in ("planned", "sent", "received", "came_back")),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        *(_moment(f"{name}_at") for name in ("sent", "due", "received", "cancelled")),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        _count("version"),
        _moment("created_at", nullable=False),
        _moment("updated_at", nullable=False),
        sa.UniqueConstraint("tenant_id", "number", name=op.f("uq_stock_transfer_tenant_id_number")),
        _check("state", "state IN ('planned','sent','received','cancelled')"),
        _check("units", "planned > 0 AND sent >= 0 AND sent <= planned AND received >= 0 AND came_back >= 0"),
        _check("nothing_made", "received + came_back <= sent"),
    )
    op.create_index(
        "ix_stock_transfer_planned",
        "stock_transfer",
        ["from_item_id"],
        postgresql_where=sa.text("state = 'planned'"),
    )
    op.create_index(
        "ix_stock_transfer_sent", "stock_transfer", ["to_item_id"], postgresql_where=sa.text("state = 'sent'")
    )
    op.execute("ALTER TABLE stock_transfer ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON stock_transfer USING (tenant_id = (SELECT current_tenant()))"
        " WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON stock_transfer TO flipsync_app, flipsync_worker")
    _kinds(f"{_KINDS},'send'")


def downgrade() -> None:
    op.drop_table("stock_transfer")
    # what was sent is off the shelf for good: older books know that as a count
    op.execute("UPDATE stock_movement SET kind = 'count' WHERE kind = 'send'")
    _kinds(_KINDS)
