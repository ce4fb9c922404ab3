"""Who bought again, without names: orders by a pseudonym of their buyer, sums of them, and cohorts by month."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

_TABLES = ("buyer_key", "buyer_sale", "buyer_sum", "cohort_month")
_MIGRATIONS = Path(__file__).parent.parent
#: the trigger as 0026 made it
_BEFORE = "guards_0026.sql"


def _owned(*, made: bool = True) -> tuple[sa.Column[object], ...]:
    default = sa.text("gen_random_uuid()") if made else None
    return (
        sa.Column("id", sa.Uuid(), primary_key=True, server_default=default),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
    )


def _uuid(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Uuid(), nullable=False)


def _day(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Date(), nullable=False)


def _count(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _currency() -> sa.Column[object]:
    return sa.Column("currency", sa.String(3), nullable=False)


def _once(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint("tenant_id", *columns, name=op.f(f"uq_{table}_{'_'.join(('tenant_id', *columns))}"))


def upgrade() -> None:
    op.create_table(
        "buyer_key",
        *_owned(made=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        _once("buyer_key"),
    )
    op.create_table(
        "buyer_sale",
        *_owned(),
        *(_uuid(name) for name in ("order_id", "account_id", "buyer")),
        _day("day"),
        _currency(),
        _count("net"),
        _once("buyer_sale", "order_id"),
    )
    op.create_index("ix_buyer_sale_tenant_id_buyer", "buyer_sale", ["tenant_id", "buyer"])
    op.create_index("ix_buyer_sale_tenant_id_day", "buyer_sale", ["tenant_id", "day", "order_id"])
    op.create_table(
        "buyer_sum",
        *_owned(),
        *(_uuid(name) for name in ("account_id", "buyer")),
        _currency(),
        *(_day(name) for name in ("first_day", "last_day")),
        *(_count(name) for name in ("orders", "net")),
        _once("buyer_sum", "buyer", "currency"),
    )
    op.create_table(
        "cohort_month",
        *_owned(),
        _uuid("account_id"),
        _currency(),
        *(_day(name) for name in ("cohort", "month")),
        *(_count(name) for name in ("buyers", "again", "orders", "net")),
        _once("cohort_month", "account_id", "currency", "cohort", "month"),
    )
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO flipsync_app, flipsync_worker")
    op.execute("DROP TRIGGER sale_is_due ON customer_order")
    op.get_bind().connection.cursor().execute(_read("guards_0042.sql"))


def downgrade() -> None:
    op.execute("DROP TRIGGER sale_is_due ON customer_order")
    before = _read(_BEFORE)
    begins = before.index("CREATE TRIGGER sale_is_due AFTER UPDATE OF status")
    op.get_bind().connection.cursor().execute(before[begins : before.index(";", begins)])
    for table in reversed(_TABLES):
        op.drop_table(table)


def _read(name: str) -> str:
    return (_MIGRATIONS / name).read_text(encoding="utf-8")
