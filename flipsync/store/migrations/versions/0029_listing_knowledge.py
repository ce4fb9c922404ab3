"""What a connector must know of a listing before it writes units, and since when: learnt once, for all processes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "listing_knowledge",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("listing_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.Column("learnt_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "listing_id"],
            ["listing.tenant_id", "listing.id"],
            name=op.f("fk_listing_knowledge_tenant_id_listing_id"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("tenant_id", "listing_id", name=op.f("uq_listing_knowledge_tenant_id_listing_id")),
    )
    op.execute("ALTER TABLE listing_knowledge ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON listing_knowledge USING (tenant_id = (SELECT current_tenant()))"
        " WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON listing_knowledge TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    op.drop_table("listing_knowledge")
