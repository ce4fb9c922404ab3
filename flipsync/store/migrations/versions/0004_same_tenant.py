"""Rows point to rows of their own tenant only: the tenant becomes part of every foreign key between tenants' tables.

The unique key (tenant_id, id) that they point to takes the place of the index by tenant, so that a row costs no more
index entries than before.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PARENTS = (
    "agent_decision",
    "app_user",
    "customer_order",
    "effect",
    "event",
    "listing",
    "marketplace_account",
    "product",
    "proposal",
    "stock_item",
    "variant",
)
#: (table, column, the table it points to)
_REFERENCES = (
    ("agent_decision", "event_id", "event"),
    ("agent_task", "event_id", "event"),
    ("allocation", "listing_id", "listing"),
    ("allocation", "stock_item_id", "stock_item"),
    ("approval", "decision_id", "agent_decision"),
    ("customer_order", "account_id", "marketplace_account"),
    ("effect", "account_id", "marketplace_account"),
    ("effect", "proposal_id", "proposal"),
    ("listing", "account_id", "marketplace_account"),
    ("listing", "variant_id", "variant"),
    ("order_line", "listing_id", "listing"),
    ("order_line", "order_id", "customer_order"),
    ("price_change", "listing_id", "listing"),
    ("proposal", "decision_id", "agent_decision"),
    ("receipt", "effect_id", "effect"),
    ("refresh_token", "user_id", "app_user"),
    ("refund", "order_id", "customer_order"),
    ("rival_offer", "listing_id", "listing"),
    ("shipment", "order_id", "customer_order"),
    ("stock_item", "variant_id", "variant"),
    ("stock_movement", "stock_item_id", "stock_item"),
    ("variant", "product_id", "product"),
    ("webhook_delivery", "account_id", "marketplace_account"),
)


def upgrade() -> None:
    for parent in _PARENTS:
        op.create_unique_constraint(op.f(f"uq_{parent}_tenant_id_id"), parent, ["tenant_id", "id"])
        op.drop_index(op.f(f"ix_{parent}_tenant_id"), table_name=parent)
    for table, column, parent in _REFERENCES:
        op.drop_constraint(op.f(f"fk_{table}_{column}"), table, type_="foreignkey")
        op.create_foreign_key(
            op.f(f"fk_{table}_tenant_id_{column}"),
            table,
            parent,
            ["tenant_id", column],
            ["tenant_id", "id"],
            ondelete=f"SET NULL ({column})" if (table, column) == ("order_line", "listing_id") else "CASCADE",
        )


def downgrade() -> None:
    for table, column, parent in _REFERENCES:
        op.drop_constraint(op.f(f"fk_{table}_tenant_id_{column}"), table, type_="foreignkey")
        op.create_foreign_key(
            op.f(f"fk_{table}_{column}"),
            table,
            parent,
            [column],
            ["id"],
            ondelete="SET NULL" if (table, column) == ("order_line", "listing_id") else "CASCADE",
        )
    for parent in _PARENTS:
        op.create_index(op.f(f"ix_{parent}_tenant_id"), parent, ["tenant_id"])
        op.drop_constraint(op.f(f"uq_{parent}_tenant_id_id"), parent, type_="unique")
