"""Connecting by consent, the seller behind an account, and when credentials end."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_WHEN = sa.DateTime(timezone=True)


def _owned(table: str) -> tuple[sa.Column[Any] | sa.Constraint, ...]:
    return (
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f(f"fk_{table}_tenant_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["marketplace_account.tenant_id", "marketplace_account.id"],
            name=op.f(f"fk_{table}_tenant_id_account_id"),
            ondelete="CASCADE",
        ),
    )


def upgrade() -> None:
    op.add_column("marketplace_account", sa.Column("seller_id", sa.String(), nullable=False, server_default=""))
    op.add_column("marketplace_account", sa.Column("renewal_id", sa.Uuid(), nullable=True))
    op.add_column("marketplace_account", sa.Column("renewal_began_at", _WHEN, nullable=True))
    op.create_table(
        "consent_request",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("vendor", sa.String(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("config", postgresql.JSONB(), nullable=False),
        sa.Column("stock_mode", sa.String(), nullable=False),
        sa.Column("state_hash", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("redirect_uri", sa.String(), nullable=False),
        sa.Column("delivery_uri", sa.String(), nullable=False),
        sa.Column("return_to", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("hint", sa.String(), nullable=False),
        sa.Column("created_at", _WHEN, nullable=False),
        sa.Column("expires_at", _WHEN, nullable=False),
        sa.Column("answered_at", _WHEN, nullable=True),
        *_owned("consent_request"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["app_user.tenant_id", "app_user.id"],
            name=op.f("fk_consent_request_tenant_id_user_id"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "status IN ('waiting','redeeming','connected','denied','failed','unknown')",
            name=op.f("ck_consent_request_status"),
        ),
        sa.UniqueConstraint("state_hash", name=op.f("uq_consent_request_state_hash")),
    )
    op.create_index("ix_consent_request_created_at", "consent_request", ["created_at"])
    op.create_index(op.f("ix_consent_request_tenant_id"), "consent_request", ["tenant_id"])
    op.create_table(
        "credential_end",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("credential", sa.String(), nullable=False),
        sa.Column("ends_at", _WHEN, nullable=False),
        sa.Column("warned_days", sa.BigInteger(), nullable=True),
        *_owned("credential_end"),
        sa.UniqueConstraint("account_id", "credential", name=op.f("uq_credential_end_account_id_credential")),
    )
    op.create_index(op.f("ix_credential_end_tenant_id"), "credential_end", ["tenant_id"])
    for table in ("consent_request", "credential_end"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO flipsync_app, flipsync_worker")
    # Whoever comes back from a vendor brings nothing but the state: whose it is has to be known before the tenant is.
    op.execute(
        "CREATE FUNCTION consent_request_tenant(wanted_hash text) RETURNS uuid"
        " LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT"
        " AS $$ SELECT c.tenant_id FROM consent_request c WHERE c.state_hash = wanted_hash $$"
    )
    op.execute("REVOKE EXECUTE ON FUNCTION consent_request_tenant(text) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION consent_request_tenant(text) TO flipsync_app")


def downgrade() -> None:
    op.execute("DROP FUNCTION consent_request_tenant(text)")
    op.drop_table("credential_end")
    op.drop_table("consent_request")
    for column in ("renewal_began_at", "renewal_id", "seller_id"):
        op.drop_column("marketplace_account", column)
