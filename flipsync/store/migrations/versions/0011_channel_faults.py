"""What was found out about channels, and what the watch reads of webhooks: lateness, repeats, forgeries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TABLES = ("channel_fault", "webhook_trouble")


def _owned(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["marketplace_account.tenant_id", "marketplace_account.id"],
            name=op.f(f"fk_{table}_tenant_id_account_id"),
            ondelete="CASCADE",
        ),
    )


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "channel_fault",
        *_owned("channel_fault"),
        sa.Column("cause", sa.String(), nullable=False),
        _moment("since"),
        _moment("opened_at"),
        _moment("last_seen_at"),
        _moment("closed_at", nullable=True),
        sa.Column("evidence", postgresql.JSONB(), nullable=False),
        sa.Column("hint", sa.String(), nullable=False),
    )
    op.create_index(
        "uq_channel_fault_open",
        "channel_fault",
        ["account_id", "cause"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "webhook_trouble",
        *_owned("webhook_trouble"),
        sa.Column("kind", sa.String(), nullable=False),
        _moment("minute"),
        _moment("last_at"),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("account_id", "kind", "minute", name=op.f("uq_webhook_trouble_account_id_kind_minute")),
        sa.CheckConstraint("kind IN ('forged','garbled','duplicate','replay')", name=op.f("ck_webhook_trouble_kind")),
    )
    for table in _TABLES:
        op.create_index(op.f(f"ix_{table}_tenant_id"), table, ["tenant_id"])
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE ON {table} TO flipsync_app, flipsync_worker")
    op.add_column("webhook_delivery", sa.Column("order_id", sa.String(), nullable=False, server_default=""))
    op.alter_column("webhook_delivery", "order_id", server_default=None)
    op.add_column("webhook_delivery", _moment("changed_at", nullable=True))


def downgrade() -> None:
    op.drop_column("webhook_delivery", "changed_at")
    op.drop_column("webhook_delivery", "order_id")
    for table in _TABLES:
        op.drop_table(table)
