"""Whom providers of sign-ins know as one of our people."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "provider_identity",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["app_user.tenant_id", "app_user.id"],
            name=op.f("fk_provider_identity_tenant_id_user_id"),
            ondelete="CASCADE",
        ),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_provider_identity_issuer_subject")),
        sa.UniqueConstraint("user_id", "issuer", name=op.f("uq_provider_identity_user_id_issuer")),
    )
    op.create_index(op.f("ix_provider_identity_tenant_id"), "provider_identity", ["tenant_id"])
    op.execute("ALTER TABLE provider_identity ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON provider_identity USING (tenant_id = (SELECT current_tenant()))"
        " WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON provider_identity TO flipsync_app, flipsync_worker")
    # whose identity this is, before the business is known
    op.execute(
        "CREATE FUNCTION provider_identity_tenant(wanted_issuer text, wanted_subject text) RETURNS uuid LANGUAGE sql"
        " STABLE SECURITY DEFINER SET search_path FROM CURRENT AS"
        " $$ SELECT p.tenant_id FROM provider_identity p"
        " WHERE p.issuer = wanted_issuer AND p.subject = wanted_subject $$"
    )
    op.execute("REVOKE EXECUTE ON FUNCTION provider_identity_tenant(text, text) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION provider_identity_tenant(text, text) TO flipsync_app")


def downgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS provider_identity_tenant(text, text)")
    op.drop_table("provider_identity")
