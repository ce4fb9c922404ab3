"""What a channel showed after our last write, what was written there by hand, and pools in channels' warehouses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ("shown", "overrides"):
        op.add_column("listing", sa.Column(column, JSONB(), nullable=False, server_default="{}"))
    for table in ("listing", "customer_order"):
        op.add_column(table, sa.Column("pool", sa.String(), nullable=False, server_default="own"))
    op.drop_constraint(op.f("uq_listing_account_id_variant_id"), "listing", type_="unique")
    op.create_index(
        "uq_listing_own", "listing", ["account_id", "variant_id"], unique=True, postgresql_where=sa.text("pool = 'own'")
    )


def downgrade() -> None:
    op.execute("DELETE FROM listing WHERE pool <> 'own'")
    op.drop_index("uq_listing_own", table_name="listing")
    op.create_unique_constraint(op.f("uq_listing_account_id_variant_id"), "listing", ["account_id", "variant_id"])
    for table in ("customer_order", "listing"):
        op.drop_column(table, "pool")
    op.drop_column("listing", "overrides")
    op.drop_column("listing", "shown")
