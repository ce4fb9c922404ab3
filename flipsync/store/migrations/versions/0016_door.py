"""Sessions, second factors, API keys, and an audit log that the database itself chains."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_GRANTS = {
    "user_session": "SELECT, INSERT, UPDATE",
    "second_factor": "SELECT, INSERT, UPDATE, DELETE",
    "recovery_code": "SELECT, INSERT, UPDATE, DELETE",
    "api_key": "SELECT, INSERT, UPDATE",
    "audit_entry": "SELECT, INSERT",
}


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _owned() -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
    )


def _users(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        *_owned(),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["app_user.tenant_id", "app_user.id"],
            name=op.f(f"fk_{table}_tenant_id_user_id"),
            ondelete="CASCADE",
        ),
    )


def upgrade() -> None:
    op.add_column("app_user", sa.Column("version", sa.BigInteger(), nullable=False, server_default="1"))
    op.alter_column("app_user", "version", server_default=None)
    op.create_table(
        "user_session",
        *_users("user_session"),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        _moment("created_at"),
        _moment("last_used_at"),
        _moment("proven_at"),
        _moment("expires_at"),
        _moment("revoked_at", nullable=True),
    )
    op.create_table(
        "second_factor",
        *_users("second_factor"),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        _moment("created_at"),
        _moment("confirmed_at", nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        _moment("wait_until", nullable=True),
        sa.UniqueConstraint("user_id", name=op.f("uq_second_factor_user_id")),
    )
    op.create_table(
        "recovery_code",
        *_users("recovery_code"),
        sa.Column("code_hash", sa.String(), nullable=False),
        _moment("used_at", nullable=True),
        sa.UniqueConstraint("code_hash", name=op.f("uq_recovery_code_code_hash")),
    )
    op.create_table(
        "api_key",
        *_users("api_key"),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("key_hash", sa.String(), nullable=False),
        sa.Column("permissions", postgresql.JSONB(), nullable=False),
        sa.Column("per_minute", sa.BigInteger(), nullable=False),
        _moment("created_at"),
        _moment("expires_at"),
        _moment("last_used_at", nullable=True),
        _moment("revoked_at", nullable=True),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_key_key_hash")),
        sa.CheckConstraint("per_minute > 0", name=op.f("ck_api_key_per_minute")),
    )
    op.create_table(
        "audit_entry",
        *_owned(),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        _moment("at"),
        sa.Column("actor_kind", sa.String(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject_kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("traceparent", sa.String(), nullable=False),
        sa.Column("prev_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.UniqueConstraint("tenant_id", "seq", name=op.f("uq_audit_entry_tenant_id_seq")),
        sa.CheckConstraint("actor_kind IN ('user','key','system','nobody')", name=op.f("ck_audit_entry_actor_kind")),
    )
    for table, grants in _GRANTS.items():
        op.create_index(op.f(f"ix_{table}_tenant_id"), table, ["tenant_id"])
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT {grants} ON {table} TO flipsync_app, flipsync_worker")
    for table in ("user_session", "recovery_code", "api_key"):
        op.create_index(op.f(f"ix_{table}_user_id"), table, ["user_id"])
    guards = (Path(__file__).parent.parent / "guards_0016.sql").read_text(encoding="utf-8")
    op.get_bind().connection.cursor().execute(guards)  # the driver itself: % is plain text there
    # who is signed in stays signed in
    op.execute(
        "INSERT INTO user_session (id, tenant_id, user_id, device, address, created_at, last_used_at, proven_at,"
        " expires_at, revoked_at)"
        " SELECT family_id, min(tenant_id::text)::uuid, min(user_id::text)::uuid, max(device), '', min(issued_at),"
        " max(issued_at), min(issued_at), max(expires_at),"
        " CASE WHEN bool_and(revoked_at IS NOT NULL) THEN max(revoked_at) END FROM refresh_token GROUP BY family_id"
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS api_key_holder, chain_audit_entry CASCADE")
    for table in reversed(_GRANTS):
        op.drop_table(table)
    op.drop_column("app_user", "version")
