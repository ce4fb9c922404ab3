"""Roles that a business defines itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None

_BEFORE = "role IN ('owner','manager','clerk','analyst','read-only')"
_NOW = "role IN ('owner','manager','clerk','analyst','read-only','custom')"


def _key_holder(columns: str, selected: str, joined: str) -> None:
    """Whose API key this is, before the business is known. That it was used is noted at most once a minute."""
    op.execute("DROP FUNCTION api_key_holder(text)")
    op.execute(
        f"""
        CREATE FUNCTION api_key_holder(wanted_hash text)
            RETURNS TABLE (id uuid, tenant_id uuid, user_id uuid, role text, permissions jsonb, per_minute bigint,
                           expires_at timestamptz{columns})
            LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
        #variable_conflict use_column
        BEGIN
            UPDATE api_key k SET last_used_at = clock_timestamp()
             WHERE k.key_hash = wanted_hash AND k.revoked_at IS NULL AND k.expires_at > clock_timestamp()
               AND (k.last_used_at IS NULL OR k.last_used_at < clock_timestamp() - interval '1 minute');
            RETURN QUERY
                SELECT k.id, k.tenant_id, k.user_id, u.role::text, k.permissions, k.per_minute, k.expires_at{selected}
                  FROM api_key k JOIN app_user u ON u.tenant_id = k.tenant_id AND u.id = k.user_id{joined}
                 WHERE k.key_hash = wanted_hash AND k.revoked_at IS NULL AND k.expires_at > clock_timestamp()
                   AND u.disabled_at IS NULL;
        END $$
        """  # noqa: S608
    )
    op.execute("REVOKE EXECUTE ON FUNCTION api_key_holder(text) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION api_key_holder(text) TO flipsync_app")


def upgrade() -> None:
    op.create_table(
        "custom_role",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("permissions", postgresql.JSONB(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_custom_role_tenant_id_id")),
    )
    op.create_index("uq_custom_role_name", "custom_role", ["tenant_id", sa.text("lower(name)")], unique=True)
    op.execute("ALTER TABLE custom_role ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON custom_role USING (tenant_id = (SELECT current_tenant()))"
        " WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON custom_role TO flipsync_app, flipsync_worker")
    op.add_column("app_user", sa.Column("role_id", sa.Uuid(), nullable=True))
    op.create_index(op.f("ix_app_user_role_id"), "app_user", ["role_id"])
    op.create_foreign_key(
        op.f("fk_app_user_tenant_id_role_id"),
        "app_user",
        "custom_role",
        ["tenant_id", "role_id"],
        ["tenant_id", "id"],
    )
    op.drop_constraint(op.f("ck_app_user_role"), "app_user")
    op.create_check_constraint(op.f("ck_app_user_role"), "app_user", _NOW)
    op.create_check_constraint(op.f("ck_app_user_own_role"), "app_user", "(role = 'custom') = (role_id IS NOT NULL)")
    _key_holder(
        ", role_id uuid, role_version bigint, role_name text, role_permissions jsonb",
        ", o.id, o.version, o.name::text, o.permissions",
        " LEFT JOIN custom_role o ON o.tenant_id = u.tenant_id AND o.id = u.role_id",
    )


def downgrade() -> None:
    _key_holder("", "", "")
    # whoever had a role of the business's own may look, and is given another by the owner
    op.execute("UPDATE app_user SET role = 'read-only', role_id = NULL, version = version + 1 WHERE role = 'custom'")
    op.drop_constraint(op.f("ck_app_user_own_role"), "app_user")
    op.drop_constraint(op.f("ck_app_user_role"), "app_user")
    op.create_check_constraint(op.f("ck_app_user_role"), "app_user", _BEFORE)
    op.drop_column("app_user", "role_id")
    op.drop_table("custom_role")
