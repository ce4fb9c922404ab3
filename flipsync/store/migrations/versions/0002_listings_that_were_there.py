"""Listings that were on the channel before us, and units that a channel put back on its shelf."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BEFORE = "'requested','active','refused','ended','vanished'"


def upgrade() -> None:
    op.drop_constraint(op.f("ck_listing_status"), "listing", type_="check")
    op.create_check_constraint(op.f("ck_listing_status"), "listing", f"status IN ({_BEFORE},'recognised')")
    op.add_column("allocation", sa.Column("given_back", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("allocation", "given_back")
    op.execute("DELETE FROM listing WHERE status = 'recognised'")
    op.drop_constraint(op.f("ck_listing_status"), "listing", type_="check")
    op.create_check_constraint(op.f("ck_listing_status"), "listing", f"status IN ({_BEFORE})")
