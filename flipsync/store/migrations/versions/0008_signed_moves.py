"""Price moves the firewall signed, which its global brakes count; receipts with their landed cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "signed_move",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("listing_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("from_minor", sa.BigInteger(), nullable=False),
        sa.Column("to_minor", sa.BigInteger(), nullable=False),
        sa.Column("risk_minor", sa.BigInteger(), nullable=False),
        sa.Column("certificate_sha256", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_signed_move_tenant_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "listing_id"],
            ["listing.tenant_id", "listing.id"],
            name=op.f("fk_signed_move_tenant_id_listing_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signed_move")),
    )
    op.create_index(op.f("ix_signed_move_tenant_id"), "signed_move", ["tenant_id"], unique=False)
    op.create_index(
        "ix_signed_move_tenant_id_currency_at", "signed_move", ["tenant_id", "currency", "at"], unique=False
    )
    op.create_table(
        "stock_receipt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("stock_item_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("landed_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("units > 0 AND landed_minor > 0", name=op.f("ck_stock_receipt_positive")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_stock_receipt_tenant_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "stock_item_id"],
            ["stock_item.tenant_id", "stock_item.id"],
            name=op.f("fk_stock_receipt_tenant_id_stock_item_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_receipt")),
        sa.UniqueConstraint("tenant_id", "key", name=op.f("uq_stock_receipt_tenant_id_key")),
    )
    op.create_index(op.f("ix_stock_receipt_tenant_id"), "stock_receipt", ["tenant_id"])
    op.create_index("ix_stock_receipt_stock_item_id_at", "stock_receipt", ["stock_item_id", "at"])
    for table in ("signed_move", "stock_receipt"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        # history is written once
        op.execute(f"GRANT SELECT, INSERT ON {table} TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    op.drop_table("stock_receipt")
    op.drop_table("signed_move")
