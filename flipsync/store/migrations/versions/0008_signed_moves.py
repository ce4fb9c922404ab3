"""Price moves the firewall signed: what its global brakes count, across the fleet."""

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
    op.execute("ALTER TABLE signed_move ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON signed_move USING (tenant_id = (SELECT current_tenant()))"
        " WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )
    # history is written once
    op.execute("GRANT SELECT, INSERT ON signed_move TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    op.drop_table("signed_move")
