"""What rivals were seen to ask over time, and the alarms that were raised about them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_TABLES = ("rival_move", "rival_alarm")


def _owned(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("listing_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "listing_id"],
            ["listing.tenant_id", "listing.id"],
            name=op.f(f"fk_{table}_tenant_id_listing_id"),
            ondelete="CASCADE",
        ),
    )


def upgrade() -> None:
    op.create_table(
        "rival_move",
        *_owned("rival_move"),
        sa.Column("seller", sa.String(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("in_stock", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "rival_alarm",
        *_owned("rival_alarm"),
        sa.Column("alarm", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("alarm IN ('price-war','hijack')", name=op.f("ck_rival_alarm_alarm")),
    )
    op.create_index("ix_rival_move_listing_id_at", "rival_move", ["listing_id", "at"])
    op.create_index("ix_rival_alarm_listing_id_raised_at", "rival_alarm", ["listing_id", "raised_at"])
    for table in _TABLES:
        op.create_index(op.f(f"ix_{table}_tenant_id"), table, ["tenant_id"])
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT SELECT, INSERT, DELETE ON {table} TO flipsync_app, flipsync_worker")
    # who is known already is not new tomorrow
    op.execute(
        "INSERT INTO rival_move (id, tenant_id, listing_id, seller, price_minor, currency, in_stock, at)"
        " SELECT gen_random_uuid(), tenant_id, listing_id, seller, price_minor, currency, in_stock, seen_at"
        " FROM rival_offer"
    )


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
