"""What language models were asked, what it cost, and what they read about goods."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

_TABLES = ("product_reading", "language_call")


def upgrade() -> None:
    words = ("prompt", "version", "prompt_sha256", "question", "model", "state", "why")
    op.create_table(
        "language_call",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in words),
        sa.Column("value", postgresql.JSONB()),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('asked','answered','rejected','retryable','unknown')", name=op.f("ck_language_call_state")
        ),
        sa.CheckConstraint("(value IS NOT NULL) = (state = 'answered')", name=op.f("ck_language_call_value")),
        sa.CheckConstraint("tokens >= 0 AND cost_micros >= 0", name=op.f("ck_language_call_spent")),
    )
    op.create_index(op.f("ix_language_call_tenant_id"), "language_call", ["tenant_id"])
    op.create_index("ix_language_call_at", "language_call", ["tenant_id", "at"])
    op.create_index(
        "uq_language_call_question",
        "language_call",
        ["tenant_id", "question"],
        unique=True,
        postgresql_where=sa.text("state = 'answered'"),
    )
    op.create_table(
        "product_reading",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "product_id"],
            ["product.tenant_id", "product.id"],
            name=op.f("fk_product_reading_tenant_id_product_id"),
            ondelete="CASCADE",
        ),
        sa.Column("call_id", sa.Uuid(), nullable=False),
        sa.Column("value", postgresql.JSONB(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("tenant_id", "product_id", name=op.f("uq_product_reading_tenant_id_product_id")),
    )
    op.create_index(op.f("ix_product_reading_tenant_id"), "product_reading", ["tenant_id"])
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
