"""Passkeys, and the notes of ours that were brought back: each serves once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

#: the application cannot take back that a note was spent; a worker drops what is long over
_GRANTS = {"passkey": "SELECT, INSERT, UPDATE", "spent_note": "SELECT, INSERT"}


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _owned() -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
    )


def upgrade() -> None:
    op.create_table(
        "passkey",
        *_owned(),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["app_user.tenant_id", "app_user.id"],
            name=op.f("fk_passkey_tenant_id_user_id"),
            ondelete="CASCADE",
        ),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("transports", postgresql.JSONB(), nullable=False),
        sa.Column("backed_up", sa.Boolean(), nullable=False),
        _moment("created_at"),
        _moment("last_used_at", nullable=True),
        _moment("copied_at", nullable=True),
        _moment("revoked_at", nullable=True),
        sa.UniqueConstraint("credential_id", name=op.f("uq_passkey_credential_id")),
    )
    op.create_index(op.f("ix_passkey_user_id"), "passkey", ["user_id"])
    op.create_table(
        "spent_note",
        *_owned(),
        sa.Column("mark", sa.String(), nullable=False),
        _moment("expires_at"),
        sa.UniqueConstraint("tenant_id", "mark", name=op.f("uq_spent_note_tenant_id_mark")),
    )
    for table, grants in _GRANTS.items():
        op.create_index(op.f(f"ix_{table}_tenant_id"), table, ["tenant_id"])
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT {grants} ON {table} TO flipsync_app, flipsync_worker")
    op.execute("GRANT UPDATE, DELETE ON passkey, spent_note TO flipsync_worker")
    # whose passkey this is, before the business is known
    op.execute(
        "CREATE FUNCTION passkey_tenant(wanted bytea) RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER"
        " SET search_path FROM CURRENT AS"
        " $$ SELECT p.tenant_id FROM passkey p WHERE p.credential_id = wanted AND p.revoked_at IS NULL $$"
    )
    op.execute("REVOKE EXECUTE ON FUNCTION passkey_tenant(bytea) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION passkey_tenant(bytea) TO flipsync_app")


def downgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS passkey_tenant(bytea)")
    for table in reversed(_GRANTS):
        op.drop_table(table)
