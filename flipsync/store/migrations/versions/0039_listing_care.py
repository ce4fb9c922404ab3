"""Words of a listing as its channel takes them, and what only a person can put right about it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("listing", sa.Column("fitted", postgresql.JSONB(), server_default="{}", nullable=False))
    op.create_table(
        "listing_need",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("listing_id", sa.Uuid(), nullable=False),
        sa.Column("check", sa.String(), nullable=False),
        sa.Column("says", sa.String(), nullable=False),
        sa.Column("minutes", sa.BigInteger(), nullable=False),
        sa.Column("gain_minor", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decision_id", sa.Uuid()),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["tenant_id", "listing_id"],
            ["listing.tenant_id", "listing.id"],
            name=op.f("fk_listing_need_tenant_id_listing_id"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("minutes >= 0 AND gain_minor >= 0", name=op.f("ck_listing_need_not_negative")),
    )
    op.create_index(op.f("ix_listing_need_tenant_id"), "listing_need", ["tenant_id"])
    op.create_index(
        "uq_listing_need_open",
        "listing_need",
        ["listing_id", "check"],
        unique=True,
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.execute("ALTER TABLE listing_need ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON listing_need USING (tenant_id = (SELECT current_tenant()))"
        " WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON listing_need TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    op.drop_table("listing_need")
    op.drop_column("listing", "fitted")
