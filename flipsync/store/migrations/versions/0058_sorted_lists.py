"""Products, listings and orders in the orders people sort them by (flipsync.store.sorting), without sorting all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0058"
down_revision = "0056"
branch_labels = None
depends_on = None

_PRICE = sa.text("GREATEST(price_minor, '-9223372036854775807'::bigint)")


def upgrade() -> None:
    op.create_index("ix_product_by_updated_at", "product", ["tenant_id", "updated_at", "id"])
    op.create_index("ix_listing_by_price", "listing", ["tenant_id", _PRICE, "id"])
    op.create_index("ix_customer_order_by_total", "customer_order", ["tenant_id", "total_minor", "id"])


def downgrade() -> None:
    op.drop_index("ix_customer_order_by_total", "customer_order")
    op.drop_index("ix_listing_by_price", "listing")
    op.drop_index("ix_product_by_updated_at", "product")
