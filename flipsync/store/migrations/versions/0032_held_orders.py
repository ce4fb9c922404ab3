"""Orders that cannot be read are held, and hinder no other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "held_order",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("key", "external_id", "mark", "reason", "told")),
        sa.Column("looks", sa.BigInteger(), nullable=False),
        *(
            sa.Column(name, sa.DateTime(timezone=True), nullable=False)
            for name in ("look_at", "first_seen_at", "last_seen_at")
        ),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["marketplace_account.tenant_id", "marketplace_account.id"],
            name=op.f("fk_held_order_tenant_id_account_id"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("account_id", "key", name=op.f("uq_held_order_account_id_key")),
        sa.CheckConstraint("(settled_at IS NULL) = (outcome = '')", name=op.f("ck_held_order_settled")),
        sa.CheckConstraint("outcome IN ('','read','by-hand','gone')", name=op.f("ck_held_order_outcome")),
    )
    op.create_index(op.f("ix_held_order_tenant_id"), "held_order", ["tenant_id"])
    op.create_index("ix_held_order_open", "held_order", ["account_id"], postgresql_where=sa.text("settled_at IS NULL"))
    op.execute("ALTER TABLE held_order ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON held_order USING (tenant_id = (SELECT current_tenant()))"
        " WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON held_order TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    op.drop_table("held_order")
