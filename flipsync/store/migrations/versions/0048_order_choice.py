"""What buying policies chose; and what policies chose may be dropped when it has had its time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

_PARENTS = {"policy_id": "policy_version", "stock_item_id": "stock_item", "decision_id": "agent_decision"}


def upgrade() -> None:
    op.create_table(
        "order_choice",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("policy_id", sa.Uuid(), nullable=True),
        sa.Column("stock_item_id", sa.Uuid(), nullable=False),
        sa.Column("decision_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("shipped_units", sa.BigInteger(), nullable=False),
        sa.Column("level", sa.Float(), nullable=False),
        sa.Column("up_to", sa.Float(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        *(
            sa.ForeignKeyConstraint(
                ["tenant_id", column],
                [f"{parent}.tenant_id", f"{parent}.id"],
                name=op.f(f"fk_order_choice_tenant_id_{column}"),
                ondelete="CASCADE",
            )
            for column, parent in _PARENTS.items()
        ),
        sa.UniqueConstraint(
            "decision_id", "stock_item_id", "role", name=op.f("uq_order_choice_decision_id_stock_item_id_role")
        ),
        sa.CheckConstraint("role IN ('acting','canary','shadow')", name=op.f("ck_order_choice_role")),
        sa.CheckConstraint("units >= 0 AND shipped_units >= 0", name=op.f("ck_order_choice_units")),
    )
    op.create_index(op.f("ix_order_choice_tenant_id"), "order_choice", ["tenant_id"])
    op.create_index("ix_order_choice_at", "order_choice", ["tenant_id", "at"])
    op.create_index("ix_order_choice_policy_id", "order_choice", ["policy_id"])
    op.execute("ALTER TABLE order_choice ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON order_choice USING (tenant_id = (SELECT current_tenant()))"
        " WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON order_choice TO flipsync_app, flipsync_worker")
    op.execute("GRANT DELETE ON policy_choice TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    op.execute("REVOKE DELETE ON policy_choice FROM flipsync_app, flipsync_worker")
    op.drop_table("order_choice")
