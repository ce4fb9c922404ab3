"""What channels paid out, with the movements it is made of, and from when on that is known of an account."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0063"
down_revision = "0062"
branch_labels = None
depends_on = None

_TABLES = ("payout_line", "payout")
_STATES = "'initiated','delayed','paid','failed','returned','cancelled'"
_KINDS = "'sale','refund','fee','ad_fee','label','dispute','transfer','other'"


def _owned(table: str, column: str, parent: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column(column, sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", column],
            [f"{parent}.tenant_id", f"{parent}.id"],
            name=op.f(f"fk_{table}_tenant_id_{column}"),
            ondelete="CASCADE",
        ),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.UniqueConstraint(column, "external_id", name=op.f(f"uq_{table}_{column}_external_id")),
    )


def _money() -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
    )


def _text(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    for name in ("payouts_from", "payouts_read_at"):
        op.add_column("marketplace_account", _moment(name, nullable=True))
    op.create_table(
        "payout",
        *_owned("payout", "account_id", "marketplace_account"),
        _text("state"),
        _text("vendor_state"),
        *_money(),
        _moment("sent_at"),
        _text("bank"),
        _moment("read_at"),
        _moment("changed_at"),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_payout_tenant_id_id")),
        sa.CheckConstraint(f"state IN ({_STATES})", name=op.f("ck_payout_state")),
    )
    for column in ("sent_at", "amount_minor"):
        op.create_index(f"ix_payout_tenant_id_{column}_id", "payout", ["tenant_id", column, "id"])
    op.create_table(
        "payout_line",
        *_owned("payout_line", "payout_id", "payout"),
        _text("kind"),
        _text("vendor_kind"),
        *_money(),
        _text("order_external_id", nullable=True),
        _moment("booked_at"),
        sa.CheckConstraint(f"kind IN ({_KINDS})", name=op.f("ck_payout_line_kind")),
    )
    op.create_index(op.f("ix_payout_line_tenant_id"), "payout_line", ["tenant_id"])
    op.create_index("ix_payout_line_tenant_id_order_external_id", "payout_line", ["tenant_id", "order_external_id"])
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
    for name in ("payouts_read_at", "payouts_from"):
        op.drop_column("marketplace_account", name)
