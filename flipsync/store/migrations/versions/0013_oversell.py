"""How soon channels hear of sales made elsewhere, what listings sell in their time on show, what oversells cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_FLOATS = postgresql.ARRAY(sa.Float())
_COUNT_TIME = """
CREATE FUNCTION count_time_on_show() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.shown_since IS NOT NULL THEN
        NEW.shown_seconds := OLD.shown_seconds + extract(epoch FROM now() - OLD.shown_since);
    END IF;
    NEW.shown_since := CASE WHEN NEW.entitled > 0 THEN now() END;
    RETURN NEW;
END $$;
CREATE TRIGGER begin_time_on_show BEFORE INSERT ON allocation
    FOR EACH ROW WHEN (NEW.entitled > 0) EXECUTE FUNCTION count_time_on_show();
CREATE TRIGGER count_time_on_show BEFORE UPDATE OF entitled ON allocation
    FOR EACH ROW WHEN ((OLD.entitled > 0) IS DISTINCT FROM (NEW.entitled > 0)) EXECUTE FUNCTION count_time_on_show();
"""


def upgrade() -> None:
    op.create_table(
        "channel_pace",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("told_sales", sa.BigInteger(), nullable=False),
        sa.Column("told_seconds", _FLOATS, nullable=False),
        sa.Column("shown_sales", sa.BigInteger(), nullable=False),
        sa.Column("shown_seconds", _FLOATS, nullable=False),
        sa.Column("demand_weight", sa.Float(), nullable=False),
        sa.Column("demand_shares", _FLOATS, nullable=False),
        sa.Column("demand_shapes", _FLOATS, nullable=False),
        sa.Column("demand_seconds", _FLOATS, nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["marketplace_account.tenant_id", "marketplace_account.id"],
            name=op.f("fk_channel_pace_tenant_id_account_id"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("account_id", name=op.f("uq_channel_pace_account_id")),
        sa.CheckConstraint("demand_weight > 0", name=op.f("ck_channel_pace_positive")),
    )
    op.create_index(op.f("ix_channel_pace_tenant_id"), "channel_pace", ["tenant_id"])
    op.execute("ALTER TABLE channel_pace ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON channel_pace USING (tenant_id = (SELECT current_tenant()))"
        " WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON channel_pace TO flipsync_app, flipsync_worker")
    op.add_column("allocation", sa.Column("sold", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("allocation", sa.Column("shown_seconds", sa.Float(), nullable=False, server_default="0"))
    op.add_column("allocation", sa.Column("shown_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("customer_order", sa.Column("oversold", sa.BigInteger(), nullable=False, server_default="0"))
    # what sold before counts from here on: neither those sales nor that time
    op.execute("UPDATE allocation SET shown_since = now() WHERE entitled > 0")
    op.execute(_COUNT_TIME)


def downgrade() -> None:
    op.execute("DROP TRIGGER begin_time_on_show ON allocation")
    op.execute("DROP TRIGGER count_time_on_show ON allocation")
    op.execute("DROP FUNCTION count_time_on_show()")
    op.drop_column("customer_order", "oversold")
    op.drop_column("allocation", "shown_since")
    op.drop_column("allocation", "shown_seconds")
    op.drop_column("allocation", "sold")
    op.drop_table("channel_pace")
