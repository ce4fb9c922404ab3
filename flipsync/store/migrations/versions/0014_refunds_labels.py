"""Money given back, and labels bought: what people asked for, one open wish an order, never more than was paid."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TABLES = ("refund_request", "label_purchase")
#: what may change after a wish was written down
_CHANGES = {
    "refund_request": "state, detail, external_id, sent_at, updated_at",
    "label_purchase": "state, detail, external_id, carrier, tracking_number, cost_minor, media_type, document, sent_at,"
    " updated_at",
}

# Two wishes at once wait for each other on the order's row. An order that cannot be seen is another tenant's: row
# security refuses that wish.
_NEVER_MORE = """
CREATE FUNCTION refund_within_payment() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE paid bigint; given bigint; paid_in text;
BEGIN
    SELECT total_minor, currency INTO paid, paid_in FROM customer_order
     WHERE id = NEW.order_id AND tenant_id = NEW.tenant_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NEW;
    END IF;
    SELECT coalesce(sum(amount_minor), 0) INTO given FROM refund WHERE order_id = NEW.order_id;
    SELECT given + coalesce(sum(q.amount_minor), 0) INTO given FROM refund_request q
     WHERE q.order_id = NEW.order_id AND q.state <> 'refused'
       AND NOT EXISTS (SELECT 1 FROM refund r WHERE r.order_id = q.order_id AND r.external_id = q.external_id);
    IF paid_in <> NEW.currency OR given + NEW.amount_minor > paid THEN
        RAISE EXCEPTION 'more than was paid would be given back' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""


def _owned(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "order_id"],
            ["customer_order.tenant_id", "customer_order.id"],
            name=op.f(f"fk_{table}_tenant_id_order_id"),
            ondelete="CASCADE",
        ),
    )


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "refund_request",
        *_owned("refund_request"),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("units", postgresql.JSONB(), nullable=False),
        sa.Column("restock", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=True),
        _moment("sent_at", nullable=True),
        sa.Column("requested_by", sa.Uuid(), nullable=True),
        _moment("created_at"),
        _moment("updated_at"),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_refund_request_amount")),
        sa.CheckConstraint("state IN ('asked','issued','refused','unknown')", name=op.f("ck_refund_request_state")),
    )
    op.create_index(
        "uq_refund_request_open",
        "refund_request",
        ["order_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('asked','unknown')"),
    )
    op.create_table(
        "label_purchase",
        *_owned("label_purchase"),
        sa.Column("parcel", postgresql.JSONB(), nullable=False),
        sa.Column("ship_from", postgresql.JSONB(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("most_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=True),
        sa.Column("carrier", sa.String(), nullable=False),
        sa.Column("tracking_number", sa.String(), nullable=False),
        sa.Column("cost_minor", sa.BigInteger(), nullable=True),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=True),
        _moment("sent_at", nullable=True),
        sa.Column("requested_by", sa.Uuid(), nullable=True),
        _moment("created_at"),
        _moment("updated_at"),
        sa.CheckConstraint("cost_minor >= 0 AND most_minor > 0", name=op.f("ck_label_purchase_amounts")),
        sa.CheckConstraint(
            "state IN ('asked','bought','refused','unknown','cancelling','cancelled')",
            name=op.f("ck_label_purchase_state"),
        ),
    )
    op.create_index(
        "uq_label_purchase_open",
        "label_purchase",
        ["order_id"],
        unique=True,
        postgresql_where=sa.text("state NOT IN ('refused','cancelled')"),
    )
    op.execute(_NEVER_MORE)
    op.execute(
        "CREATE TRIGGER refund_within_payment BEFORE INSERT ON refund_request"
        " FOR EACH ROW EXECUTE FUNCTION refund_within_payment()"
    )
    for table in _TABLES:
        op.create_index(op.f(f"ix_{table}_tenant_id"), table, ["tenant_id"])
        op.create_index(op.f(f"ix_{table}_order_id"), table, ["order_id"])
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT SELECT, INSERT ON {table} TO flipsync_app, flipsync_worker")
        op.execute(f"GRANT UPDATE ({_CHANGES[table]}) ON {table} TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
    op.execute("DROP FUNCTION refund_within_payment()")
