"""Since when a channel will not be told of a parcel."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("shipment", sa.Column("refused_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_shipment_refused", "shipment", ["tenant_id", "id"], postgresql_where=sa.text("refused_at IS NOT NULL")
    )


def downgrade() -> None:
    op.drop_index("ix_shipment_refused", "shipment")
    op.drop_column("shipment", "refused_at")
