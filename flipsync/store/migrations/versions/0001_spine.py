"""The spine: tenants, catalogue, channels, stock ledger, orders, journal."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agent_status",
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("restarts", sa.BigInteger(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('starting','ready','down')", name=op.f("ck_agent_status_state")),
        sa.PrimaryKeyConstraint("agent", name=op.f("pk_agent_status")),
    )
    op.create_table(
        "tenant",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("settings", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant")),
    )
    op.create_table(
        "app_user",
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("role IN ('owner','manager','clerk','analyst','read-only')", name=op.f("ck_app_user_role")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_app_user_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_user")),
    )
    op.create_index(op.f("ix_app_user_tenant_id"), "app_user", ["tenant_id"], unique=False)
    op.create_index("uq_app_user_email_lower", "app_user", [sa.literal_column("lower(email)")], unique=True)
    op.create_table(
        "event",
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("subject_kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("payload", postgresql.JSONB(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("causation_id", sa.Uuid(), nullable=True),
        sa.Column("correlation_id", sa.Uuid(), nullable=False),
        sa.Column("traceparent", sa.String(), nullable=False),
        sa.Column("dedup_key", sa.String(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_event_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index("ix_event_causation_id", "event", ["causation_id", "id"], unique=False)
    op.create_index("ix_event_subject", "event", ["tenant_id", "subject_kind", "subject_id", "id"], unique=False)
    op.create_index(op.f("ix_event_tenant_id"), "event", ["tenant_id"], unique=False)
    op.create_index("uq_event_tenant_id_dedup_key", "event", ["tenant_id", "dedup_key"], unique=True)
    op.create_table(
        "idempotency_record",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=True),
        sa.Column("body", postgresql.JSONB(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_idempotency_record_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotency_record")),
        sa.UniqueConstraint("tenant_id", "key", name=op.f("uq_idempotency_record_tenant_id_key")),
    )
    op.create_index(op.f("ix_idempotency_record_tenant_id"), "idempotency_record", ["tenant_id"], unique=False)
    op.create_table(
        "import_run",
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("counts", postgresql.JSONB(), nullable=False),
        sa.Column("problems", postgresql.JSONB(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_import_run_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_run")),
    )
    op.create_index(op.f("ix_import_run_tenant_id"), "import_run", ["tenant_id"], unique=False)
    op.create_table(
        "marketplace_account",
        sa.Column("vendor", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("config", postgresql.JSONB(), nullable=False),
        sa.Column("credentials_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("webhook_token", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("status_reason", sa.String(), nullable=False),
        sa.Column("stock_mode", sa.String(), nullable=False),
        sa.Column("orders_cursor", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_ok_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("consecutive_failures", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('connected','paused','disconnected')", name=op.f("ck_marketplace_account_status")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_marketplace_account_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_marketplace_account")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_marketplace_account_tenant_id_name")),
        sa.UniqueConstraint("webhook_token", name=op.f("uq_marketplace_account_webhook_token")),
    )
    op.create_index(op.f("ix_marketplace_account_tenant_id"), "marketplace_account", ["tenant_id"], unique=False)
    op.create_table(
        "product",
        sa.Column("handle", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("description_html", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=True),
        sa.Column("category", sa.String(), nullable=True),
        sa.Column("tags", postgresql.JSONB(), nullable=False),
        sa.Column("images", postgresql.JSONB(), nullable=False),
        sa.Column("option_names", postgresql.JSONB(), nullable=False),
        sa.Column("published", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_product_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product")),
        sa.UniqueConstraint("tenant_id", "handle", name=op.f("uq_product_tenant_id_handle")),
    )
    op.create_index(op.f("ix_product_tenant_id"), "product", ["tenant_id"], unique=False)
    op.create_table(
        "agent_decision",
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("agent_version", sa.String(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("rationale", sa.String(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("stake_minor", sa.BigInteger(), nullable=True),
        sa.Column("stake_currency", sa.String(length=3), nullable=True),
        sa.Column("alternatives", postgresql.JSONB(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(), nullable=False),
        sa.Column("correlation_id", sa.Uuid(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "state IN ('held','applied','escalated','awaiting','overruled')", name=op.f("ck_agent_decision_state")
        ),
        sa.ForeignKeyConstraint(
            ["event_id"], ["event.id"], name=op.f("fk_agent_decision_event_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_agent_decision_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_decision")),
    )
    op.create_index("ix_agent_decision_agent", "agent_decision", ["tenant_id", "agent", "id"], unique=False)
    op.create_index("ix_agent_decision_event_id", "agent_decision", ["event_id"], unique=False)
    op.create_index(op.f("ix_agent_decision_tenant_id"), "agent_decision", ["tenant_id"], unique=False)
    op.create_table(
        "agent_task",
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("state IN ('pending','leased','done','failed')", name=op.f("ck_agent_task_state")),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name=op.f("fk_agent_task_event_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_agent_task_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_task")),
        sa.UniqueConstraint("event_id", "agent", name=op.f("uq_agent_task_event_id_agent")),
    )
    op.create_index(
        "ix_agent_task_claim",
        "agent_task",
        ["agent", "priority", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('pending','leased')"),
    )
    op.create_index(op.f("ix_agent_task_tenant_id"), "agent_task", ["tenant_id"], unique=False)
    op.create_table(
        "customer_order",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("vendor_status", sa.String(), nullable=False),
        sa.Column("holds_stock", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("shipping_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=True),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("modified_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ship_to", postgresql.JSONB(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('received','reserved','ready','shipped','cancelled')", name=op.f("ck_customer_order_state")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["marketplace_account.id"], name=op.f("fk_customer_order_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_customer_order_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer_order")),
        sa.UniqueConstraint("account_id", "external_id", name=op.f("uq_customer_order_account_id_external_id")),
    )
    op.create_index(op.f("ix_customer_order_tenant_id"), "customer_order", ["tenant_id"], unique=False)
    op.create_index("ix_customer_order_tenant_id_number", "customer_order", ["tenant_id", "number"], unique=False)
    op.create_index("ix_customer_order_tenant_id_placed_at", "customer_order", ["tenant_id", "placed_at"], unique=False)
    op.create_table(
        "refresh_token",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("family_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_refresh_token_tenant_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["app_user.id"], name=op.f("fk_refresh_token_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_token")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_refresh_token_token_hash")),
    )
    op.create_index(op.f("ix_refresh_token_family_id"), "refresh_token", ["family_id"], unique=False)
    op.create_index(op.f("ix_refresh_token_tenant_id"), "refresh_token", ["tenant_id"], unique=False)
    op.create_index(op.f("ix_refresh_token_user_id"), "refresh_token", ["user_id"], unique=False)
    op.create_table(
        "variant",
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("sku_derived", sa.Boolean(), nullable=False),
        sa.Column("options", postgresql.JSONB(), nullable=False),
        sa.Column("barcode", sa.String(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=True),
        sa.Column("compare_at_minor", sa.BigInteger(), nullable=True),
        sa.Column("cost_minor", sa.BigInteger(), nullable=True),
        sa.Column("cost_as_of", sa.DateTime(timezone=True), nullable=True),
        sa.Column("floor_minor", sa.BigInteger(), nullable=True),
        sa.Column("ceiling_minor", sa.BigInteger(), nullable=True),
        sa.Column("weight_grams", sa.BigInteger(), nullable=True),
        sa.Column("condition", sa.String(), nullable=True),
        sa.Column("image", sa.String(), nullable=True),
        sa.Column("imported_quantity", sa.BigInteger(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "ceiling_minor IS NULL OR floor_minor IS NULL OR ceiling_minor >= floor_minor",
            name=op.f("ck_variant_bounds"),
        ),
        sa.CheckConstraint("cost_minor IS NULL OR cost_minor > 0", name=op.f("ck_variant_cost_positive")),
        sa.CheckConstraint("floor_minor IS NULL OR floor_minor > 0", name=op.f("ck_variant_floor_positive")),
        sa.CheckConstraint("price_minor IS NULL OR price_minor > 0", name=op.f("ck_variant_price_positive")),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name=op.f("fk_variant_product_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_variant_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_variant")),
        sa.UniqueConstraint("tenant_id", "sku", name=op.f("uq_variant_tenant_id_sku")),
    )
    op.create_index(op.f("ix_variant_product_id"), "variant", ["product_id"], unique=False)
    op.create_index(op.f("ix_variant_tenant_id"), "variant", ["tenant_id"], unique=False)
    op.create_table(
        "webhook_delivery",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("dedup_key", sa.String(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["marketplace_account.id"], name=op.f("fk_webhook_delivery_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_webhook_delivery_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
        sa.UniqueConstraint("account_id", "dedup_key", name=op.f("uq_webhook_delivery_account_id_dedup_key")),
    )
    op.create_index(op.f("ix_webhook_delivery_tenant_id"), "webhook_delivery", ["tenant_id"], unique=False)
    op.create_table(
        "approval",
        sa.Column("decision_id", sa.Uuid(), nullable=False),
        sa.Column("question", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_by", sa.Uuid(), nullable=True),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("state IN ('open','approved','refused','expired')", name=op.f("ck_approval_state")),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["agent_decision.id"], name=op.f("fk_approval_decision_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_approval_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval")),
        sa.UniqueConstraint("decision_id", name=op.f("uq_approval_decision_id")),
    )
    op.create_index(op.f("ix_approval_tenant_id"), "approval", ["tenant_id"], unique=False)
    op.create_table(
        "listing",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("variant_id", sa.Uuid(), nullable=False),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("status_reason", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=True),
        sa.Column("price_changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("quantity_shown", sa.BigInteger(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('requested','active','refused','ended','vanished')", name=op.f("ck_listing_status")
        ),
        sa.CheckConstraint("price_minor IS NULL OR price_minor > 0", name=op.f("ck_listing_price_positive")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["marketplace_account.id"], name=op.f("fk_listing_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_listing_tenant_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["variant_id"], ["variant.id"], name=op.f("fk_listing_variant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listing")),
        sa.UniqueConstraint("account_id", "variant_id", name=op.f("uq_listing_account_id_variant_id")),
    )
    op.create_index(op.f("ix_listing_account_id"), "listing", ["account_id"], unique=False)
    op.create_index(op.f("ix_listing_tenant_id"), "listing", ["tenant_id"], unique=False)
    op.create_index(op.f("ix_listing_variant_id"), "listing", ["variant_id"], unique=False)
    op.create_index("uq_listing_account_id_external_id", "listing", ["account_id", "external_id"], unique=True)
    op.create_table(
        "proposal",
        sa.Column("decision_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("command", sa.String(), nullable=False),
        sa.Column("payload", postgresql.JSONB(), nullable=False),
        sa.Column("subject_kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["agent_decision.id"], name=op.f("fk_proposal_decision_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_proposal_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proposal")),
        sa.UniqueConstraint("decision_id", "ordinal", name=op.f("uq_proposal_decision_id_ordinal")),
    )
    op.create_index("ix_proposal_subject", "proposal", ["tenant_id", "subject_kind", "subject_id", "id"], unique=False)
    op.create_index(op.f("ix_proposal_tenant_id"), "proposal", ["tenant_id"], unique=False)
    op.create_table(
        "refund",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["customer_order.id"], name=op.f("fk_refund_order_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_refund_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund")),
        sa.UniqueConstraint("order_id", "external_id", name=op.f("uq_refund_order_id_external_id")),
    )
    op.create_index(op.f("ix_refund_order_id"), "refund", ["order_id"], unique=False)
    op.create_index(op.f("ix_refund_tenant_id"), "refund", ["tenant_id"], unique=False)
    op.create_table(
        "shipment",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("carrier", sa.String(), nullable=False),
        sa.Column("tracking_number", sa.String(), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["customer_order.id"], name=op.f("fk_shipment_order_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_shipment_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipment")),
        sa.UniqueConstraint("order_id", name=op.f("uq_shipment_order_id")),
    )
    op.create_index(op.f("ix_shipment_tenant_id"), "shipment", ["tenant_id"], unique=False)
    op.create_table(
        "stock_item",
        sa.Column("variant_id", sa.Uuid(), nullable=False),
        sa.Column("pool", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("on_hand", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("allocated", sa.BigInteger(), nullable=False),
        sa.Column("pending_count", sa.BigInteger(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("mode IN ('escrow','pooled')", name=op.f("ck_stock_item_mode")),
        sa.CheckConstraint("allocated >= 0", name=op.f("ck_stock_item_allocated")),
        sa.CheckConstraint("on_hand >= 0", name=op.f("ck_stock_item_on_hand")),
        sa.CheckConstraint("reserved + allocated <= on_hand", name=op.f("ck_stock_item_not_promised_twice")),
        sa.CheckConstraint("reserved >= 0", name=op.f("ck_stock_item_reserved")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_stock_item_tenant_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["variant_id"], ["variant.id"], name=op.f("fk_stock_item_variant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_item")),
        sa.UniqueConstraint("tenant_id", "variant_id", "pool", name=op.f("uq_stock_item_tenant_id_variant_id_pool")),
    )
    op.create_index(op.f("ix_stock_item_tenant_id"), "stock_item", ["tenant_id"], unique=False)
    op.create_index(op.f("ix_stock_item_variant_id"), "stock_item", ["variant_id"], unique=False)
    op.create_table(
        "allocation",
        sa.Column("stock_item_id", sa.Uuid(), nullable=False),
        sa.Column("listing_id", sa.Uuid(), nullable=False),
        sa.Column("entitled", sa.BigInteger(), nullable=False),
        sa.Column("pending", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("entitled >= 0", name=op.f("ck_allocation_entitled")),
        sa.CheckConstraint("pending >= 0", name=op.f("ck_allocation_pending")),
        sa.CheckConstraint("target >= 0", name=op.f("ck_allocation_target")),
        sa.ForeignKeyConstraint(
            ["listing_id"], ["listing.id"], name=op.f("fk_allocation_listing_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["stock_item_id"], ["stock_item.id"], name=op.f("fk_allocation_stock_item_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_allocation_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_allocation")),
        sa.UniqueConstraint("listing_id", name=op.f("uq_allocation_listing_id")),
    )
    op.create_index(op.f("ix_allocation_stock_item_id"), "allocation", ["stock_item_id"], unique=False)
    op.create_index(op.f("ix_allocation_tenant_id"), "allocation", ["tenant_id"], unique=False)
    op.create_table(
        "effect",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("proposal_id", sa.Uuid(), nullable=True),
        sa.Column("command", sa.String(), nullable=False),
        sa.Column("payload", postgresql.JSONB(), nullable=False),
        sa.Column("subject_kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_owner", sa.String(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("correlation_id", sa.Uuid(), nullable=False),
        sa.Column("traceparent", sa.String(), nullable=False),
        sa.Column("result", postgresql.JSONB(), nullable=False),
        sa.Column("undo", postgresql.JSONB(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "state IN ('pending','leased','unknown','confirmed','rejected','superseded')", name=op.f("ck_effect_state")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["marketplace_account.id"], name=op.f("fk_effect_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["proposal_id"], ["proposal.id"], name=op.f("fk_effect_proposal_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_effect_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_effect")),
        sa.UniqueConstraint("tenant_id", "key", name=op.f("uq_effect_tenant_id_key")),
    )
    op.create_index(op.f("ix_effect_account_id"), "effect", ["account_id"], unique=False)
    op.create_index(
        "ix_effect_claim", "effect", ["priority", "id"], unique=False, postgresql_where=sa.text("finished_at IS NULL")
    )
    op.create_index(op.f("ix_effect_proposal_id"), "effect", ["proposal_id"], unique=False)
    op.create_index("ix_effect_subject", "effect", ["tenant_id", "subject_kind", "subject_id", "id"], unique=False)
    op.create_index(op.f("ix_effect_tenant_id"), "effect", ["tenant_id"], unique=False)
    op.create_table(
        "order_line",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("listing_id", sa.Uuid(), nullable=True),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("cost_minor", sa.BigInteger(), nullable=True),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("short", sa.BigInteger(), nullable=False),
        sa.Column("shipped", sa.BigInteger(), nullable=False),
        sa.Column("returned", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "reserved >= 0 AND short >= 0 AND shipped >= 0 AND returned >= 0", name=op.f("ck_order_line_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["listing_id"], ["listing.id"], name=op.f("fk_order_line_listing_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["customer_order.id"], name=op.f("fk_order_line_order_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_order_line_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_line")),
        sa.UniqueConstraint("order_id", "external_id", name=op.f("uq_order_line_order_id_external_id")),
    )
    op.create_index(op.f("ix_order_line_listing_id"), "order_line", ["listing_id"], unique=False)
    op.create_index(op.f("ix_order_line_order_id"), "order_line", ["order_id"], unique=False)
    op.create_index(op.f("ix_order_line_tenant_id"), "order_line", ["tenant_id"], unique=False)
    op.create_table(
        "price_change",
        sa.Column("listing_id", sa.Uuid(), nullable=False),
        sa.Column("old_minor", sa.BigInteger(), nullable=True),
        sa.Column("new_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("floor_minor", sa.BigInteger(), nullable=False),
        sa.Column("effect_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["listing_id"], ["listing.id"], name=op.f("fk_price_change_listing_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_price_change_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price_change")),
    )
    op.create_index("ix_price_change_listing_id_at", "price_change", ["listing_id", "at"], unique=False)
    op.create_index(op.f("ix_price_change_tenant_id"), "price_change", ["tenant_id"], unique=False)
    op.create_table(
        "rival_offer",
        sa.Column("listing_id", sa.Uuid(), nullable=False),
        sa.Column("seller", sa.String(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("in_stock", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["listing_id"], ["listing.id"], name=op.f("fk_rival_offer_listing_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_rival_offer_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rival_offer")),
        sa.UniqueConstraint("listing_id", "seller", name=op.f("uq_rival_offer_listing_id_seller")),
    )
    op.create_index(op.f("ix_rival_offer_tenant_id"), "rival_offer", ["tenant_id"], unique=False)
    op.create_table(
        "stock_movement",
        sa.Column("stock_item_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("on_hand_delta", sa.BigInteger(), nullable=False),
        sa.Column("reserved_delta", sa.BigInteger(), nullable=False),
        sa.Column("order_line_id", sa.Uuid(), nullable=True),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('receive','count','reserve','release','ship','return')", name=op.f("ck_stock_movement_kind")
        ),
        sa.CheckConstraint(
            "on_hand_delta <> 0 OR reserved_delta <> 0 OR kind = 'count'",
            name=op.f("ck_stock_movement_moves_something"),
        ),
        sa.ForeignKeyConstraint(
            ["stock_item_id"], ["stock_item.id"], name=op.f("fk_stock_movement_stock_item_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_stock_movement_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_movement")),
        sa.UniqueConstraint("tenant_id", "key", name=op.f("uq_stock_movement_tenant_id_key")),
    )
    op.create_index(op.f("ix_stock_movement_order_line_id"), "stock_movement", ["order_line_id"], unique=False)
    op.create_index("ix_stock_movement_stock_item_id_at", "stock_movement", ["stock_item_id", "at"], unique=False)
    op.create_index(op.f("ix_stock_movement_tenant_id"), "stock_movement", ["tenant_id"], unique=False)
    op.create_table(
        "receipt",
        sa.Column("effect_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("vendor_code", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('confirmed','rejected','retryable','unknown')", name=op.f("ck_receipt_outcome")
        ),
        sa.ForeignKeyConstraint(["effect_id"], ["effect.id"], name=op.f("fk_receipt_effect_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_receipt_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receipt")),
        sa.UniqueConstraint("effect_id", "attempt", name=op.f("uq_receipt_effect_id_attempt")),
    )
    op.create_index(op.f("ix_receipt_effect_id"), "receipt", ["effect_id"], unique=False)
    op.create_index(op.f("ix_receipt_tenant_id"), "receipt", ["tenant_id"], unique=False)
    guards = (Path(__file__).parent.parent / "guards_0001.sql").read_text(encoding="utf-8")
    op.get_bind().connection.cursor().execute(guards)  # the driver itself: % is plain text there


def downgrade() -> None:
    op.drop_index(op.f("ix_receipt_tenant_id"), table_name="receipt")
    op.drop_index(op.f("ix_receipt_effect_id"), table_name="receipt")
    op.drop_table("receipt")
    op.drop_index(op.f("ix_stock_movement_tenant_id"), table_name="stock_movement")
    op.drop_index("ix_stock_movement_stock_item_id_at", table_name="stock_movement")
    op.drop_index(op.f("ix_stock_movement_order_line_id"), table_name="stock_movement")
    op.drop_table("stock_movement")
    op.drop_index(op.f("ix_rival_offer_tenant_id"), table_name="rival_offer")
    op.drop_table("rival_offer")
    op.drop_index(op.f("ix_price_change_tenant_id"), table_name="price_change")
    op.drop_index("ix_price_change_listing_id_at", table_name="price_change")
    op.drop_table("price_change")
    op.drop_index(op.f("ix_order_line_tenant_id"), table_name="order_line")
    op.drop_index(op.f("ix_order_line_order_id"), table_name="order_line")
    op.drop_index(op.f("ix_order_line_listing_id"), table_name="order_line")
    op.drop_table("order_line")
    op.drop_index(op.f("ix_effect_tenant_id"), table_name="effect")
    op.drop_index("ix_effect_subject", table_name="effect")
    op.drop_index(op.f("ix_effect_proposal_id"), table_name="effect")
    op.drop_index("ix_effect_claim", table_name="effect", postgresql_where=sa.text("finished_at IS NULL"))
    op.drop_index(op.f("ix_effect_account_id"), table_name="effect")
    op.drop_table("effect")
    op.drop_index(op.f("ix_allocation_tenant_id"), table_name="allocation")
    op.drop_index(op.f("ix_allocation_stock_item_id"), table_name="allocation")
    op.drop_table("allocation")
    op.drop_index(op.f("ix_stock_item_variant_id"), table_name="stock_item")
    op.drop_index(op.f("ix_stock_item_tenant_id"), table_name="stock_item")
    op.drop_table("stock_item")
    op.drop_index(op.f("ix_shipment_tenant_id"), table_name="shipment")
    op.drop_table("shipment")
    op.drop_index(op.f("ix_refund_tenant_id"), table_name="refund")
    op.drop_index(op.f("ix_refund_order_id"), table_name="refund")
    op.drop_table("refund")
    op.drop_index(op.f("ix_proposal_tenant_id"), table_name="proposal")
    op.drop_index("ix_proposal_subject", table_name="proposal")
    op.drop_table("proposal")
    op.drop_index("uq_listing_account_id_external_id", table_name="listing")
    op.drop_index(op.f("ix_listing_variant_id"), table_name="listing")
    op.drop_index(op.f("ix_listing_tenant_id"), table_name="listing")
    op.drop_index(op.f("ix_listing_account_id"), table_name="listing")
    op.drop_table("listing")
    op.drop_index(op.f("ix_approval_tenant_id"), table_name="approval")
    op.drop_table("approval")
    op.drop_index(op.f("ix_webhook_delivery_tenant_id"), table_name="webhook_delivery")
    op.drop_table("webhook_delivery")
    op.drop_index(op.f("ix_variant_tenant_id"), table_name="variant")
    op.drop_index(op.f("ix_variant_product_id"), table_name="variant")
    op.drop_table("variant")
    op.drop_index(op.f("ix_refresh_token_user_id"), table_name="refresh_token")
    op.drop_index(op.f("ix_refresh_token_tenant_id"), table_name="refresh_token")
    op.drop_index(op.f("ix_refresh_token_family_id"), table_name="refresh_token")
    op.drop_table("refresh_token")
    op.drop_index("ix_customer_order_tenant_id_placed_at", table_name="customer_order")
    op.drop_index("ix_customer_order_tenant_id_number", table_name="customer_order")
    op.drop_index(op.f("ix_customer_order_tenant_id"), table_name="customer_order")
    op.drop_table("customer_order")
    op.drop_index(op.f("ix_agent_task_tenant_id"), table_name="agent_task")
    op.drop_index(
        "ix_agent_task_claim", table_name="agent_task", postgresql_where=sa.text("state IN ('pending','leased')")
    )
    op.drop_table("agent_task")
    op.drop_index(op.f("ix_agent_decision_tenant_id"), table_name="agent_decision")
    op.drop_index("ix_agent_decision_event_id", table_name="agent_decision")
    op.drop_index("ix_agent_decision_agent", table_name="agent_decision")
    op.drop_table("agent_decision")
    op.drop_index(op.f("ix_product_tenant_id"), table_name="product")
    op.drop_table("product")
    op.drop_index(op.f("ix_marketplace_account_tenant_id"), table_name="marketplace_account")
    op.drop_table("marketplace_account")
    op.drop_index(op.f("ix_import_run_tenant_id"), table_name="import_run")
    op.drop_table("import_run")
    op.drop_index(op.f("ix_idempotency_record_tenant_id"), table_name="idempotency_record")
    op.drop_table("idempotency_record")
    op.drop_index("uq_event_tenant_id_dedup_key", table_name="event")
    op.drop_index(op.f("ix_event_tenant_id"), table_name="event")
    op.drop_index("ix_event_subject", table_name="event")
    op.drop_index("ix_event_causation_id", table_name="event")
    op.drop_table("event")
    op.drop_index("uq_app_user_email_lower", table_name="app_user")
    op.drop_index(op.f("ix_app_user_tenant_id"), table_name="app_user")
    op.drop_table("app_user")
    op.drop_table("tenant")
    op.drop_table("agent_status")
    op.execute(
        "DROP FUNCTION IF EXISTS current_tenant, apply_stock_movement, apply_allocation, apply_stock_mode, start_empty,"
        " sign_in_candidate, refresh_token_tenant, webhook_account CASCADE"
    )
