"""People of a business can be forgotten: tombstones, and an audit log whose lines can lose what names them."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0062"
down_revision = "0061"
branch_labels = None
depends_on = None

_GUARDS = Path(__file__).parent.parent
_FUNCTIONS = (
    "erase_user(uuid), erased_user_name(uuid), redact_audit_of_user(uuid, text[]),"
    " redacted_details(jsonb, text, text[]), address_pattern(text[], boolean), user_words(uuid),"
    " standing_hash(audit_entry), fields_hash(bytea, text[])"
)


def _run(sql: str) -> None:
    op.get_bind().connection.cursor().execute(sql)  # the driver itself: % is plain text there


def upgrade() -> None:
    for column in (
        sa.Column("salt", sa.LargeBinary()),
        sa.Column("digest", sa.LargeBinary()),
        sa.Column("redacted_at", sa.DateTime(timezone=True)),
    ):
        op.add_column("audit_entry", column)
    op.create_table(
        "user_erasure",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("tenant_id", "user_id", name=op.f("uq_user_erasure_tenant_id_user_id")),
    )
    op.create_index(op.f("ix_user_erasure_tenant_id"), "user_erasure", ["tenant_id"])
    op.execute("ALTER TABLE user_erasure ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON user_erasure USING (tenant_id = (SELECT current_tenant()))"
        " WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )
    op.execute("GRANT SELECT, INSERT ON user_erasure TO flipsync_app, flipsync_worker")
    _run((_GUARDS / "guards_0062.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Lines that were written since do not verify by the older chain."""
    before = (_GUARDS / "guards_0016.sql").read_text(encoding="utf-8")
    begin, end = before.index("CREATE FUNCTION chain_audit_entry"), before.index("CREATE TRIGGER chain_audit_entry")
    _run(before[begin:end].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))
    op.execute(f"DROP FUNCTION {_FUNCTIONS}")
    op.drop_table("user_erasure")
    for column in ("redacted_at", "digest", "salt"):
        op.drop_column("audit_entry", column)
