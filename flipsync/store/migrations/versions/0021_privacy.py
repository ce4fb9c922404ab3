"""Buyers can be exported and forgotten: who bought by the channel's name, when an order was over, and tombstones."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_FUNCTIONS = (
    "erase_buyers(uuid[], text, boolean), buyer_holders(uuid, text[]), buyer_mentions(uuid[], boolean),"
    " buyer_matches(text[], text[], text), buyer_chain(uuid[]), buyer_places(boolean),"
    " erased_document(jsonb, text, text, text), erased_text(text, text, text), words_pattern(text[], boolean, boolean),"
    " buyer_words(uuid[]), channel_server(jsonb), watch_over_buyer(), erased_address(jsonb, text)"
)
_OPEN = "erased_at IS NULL AND closed_at IS NOT NULL"


def _moment(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.add_column("customer_order", sa.Column("buyer_id", sa.String(), nullable=False, server_default=""))
    op.add_column("customer_order", _moment("closed_at"))
    op.add_column("customer_order", _moment("erased_at"))
    op.execute(
        "UPDATE customer_order SET closed_at = modified_at WHERE state IN ('shipped', 'cancelled')"
        " OR status IN ('shipped', 'cancelled', 'refunded', 'failed')"
    )
    op.create_index(
        "ix_customer_order_closed", "customer_order", ["tenant_id", "closed_at"], postgresql_where=sa.text(_OPEN)
    )
    op.create_index(
        "ix_customer_order_buyer",
        "customer_order",
        [sa.text("lower(buyer_id)")],
        postgresql_where=sa.text("buyer_id <> ''"),
    )
    op.create_table(
        "erasure",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("order_external_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        _moment("asked_at", nullable=False),
        _moment("erased_at"),
        sa.UniqueConstraint(
            "tenant_id",
            "account_id",
            "order_external_id",
            name=op.f("uq_erasure_tenant_id_account_id_order_external_id"),
        ),
        sa.CheckConstraint("reason IN ('asked','account-deleted')", name=op.f("ck_erasure_reason")),
    )
    op.create_index(op.f("ix_erasure_tenant_id"), "erasure", ["tenant_id"])
    op.execute("ALTER TABLE erasure ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON erasure USING (tenant_id = (SELECT current_tenant()))"
        " WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE (erased_at) ON erasure TO flipsync_app, flipsync_worker")
    op.execute("GRANT DELETE ON user_session TO flipsync_worker")
    guards = (Path(__file__).parent.parent / "guards_0021.sql").read_text(encoding="utf-8")
    op.get_bind().connection.cursor().execute(guards)  # the driver itself: % is plain text there


def downgrade() -> None:
    op.execute("DROP TRIGGER watch_over_buyer ON customer_order")
    op.execute(f"DROP FUNCTION {_FUNCTIONS}")
    op.execute("REVOKE DELETE ON user_session FROM flipsync_worker")
    op.drop_table("erasure")
    op.drop_index("ix_customer_order_buyer", "customer_order")
    op.drop_index("ix_customer_order_closed", "customer_order")
    for column in ("erased_at", "closed_at", "buyer_id"):
        op.drop_column("customer_order", column)
