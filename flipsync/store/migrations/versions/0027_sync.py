"""Phones that work offline: what changed since, what they changed themselves, and when a shelf was looked at."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_GRANTS = {
    "sync_begun": "SELECT, INSERT, UPDATE (barrier, filled_at)",  # never undone
    "sync_change": "SELECT, INSERT, UPDATE, DELETE",
    "sync_horizon": "SELECT, INSERT, UPDATE",
    "sync_device": "SELECT, INSERT, UPDATE",
    "sync_mutation": "SELECT, INSERT, DELETE",
    "sync_notice": "SELECT, INSERT, DELETE",
}


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _tenant(*, primary: bool = False) -> sa.Column[object]:
    owner = sa.ForeignKey("tenant.id", ondelete="CASCADE")
    return sa.Column("tenant_id", sa.Uuid(), owner, nullable=False, primary_key=primary)


def _of(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", column],
        [f"{parent}.tenant_id", f"{parent}.id"],
        name=op.f(f"fk_{table}_tenant_id_{column}"),
        ondelete="CASCADE",
    )


def upgrade() -> None:
    for name in ("happened_at", "happened_from"):
        op.add_column("stock_movement", _moment(name, nullable=True))
    op.add_column("stock_item", _moment("counted_at", nullable=True))
    op.execute("GRANT UPDATE (counted_at) ON stock_item TO flipsync_app, flipsync_worker")
    op.add_column("product", sa.Column("edits", postgresql.JSONB(), nullable=False, server_default="{}"))
    op.create_table(
        "sync_begun",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _tenant(),
        sa.Column("barrier", sa.BigInteger(), nullable=True),
        _moment("filled_at", nullable=True),
        sa.UniqueConstraint("tenant_id", name=op.f("uq_sync_begun_tenant_id")),
    )
    op.create_table(
        "sync_change",
        _tenant(primary=True),
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        _moment("at"),
        sa.Column("gone", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_sync_change_tenant_id_xid", "sync_change", ["tenant_id", "xid", "kind", "id"])
    op.create_table(
        "sync_horizon",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _tenant(),
        sa.Column("lineage", sa.String(), nullable=False),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("tenant_id", name=op.f("uq_sync_horizon_tenant_id")),
    )
    op.create_table(
        "sync_device",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _tenant(),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        _moment("created_at"),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        _moment("before_clock_at"),
        _moment("before_server_at"),
        _moment("clock_at"),
        _moment("server_at"),
        _moment("last_happened_at", nullable=True),
        _moment("forgotten_at", nullable=True),
        _of("sync_device", "user_id", "app_user"),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_sync_device_tenant_id_id")),
    )
    op.create_table(
        "sync_mutation",
        _tenant(primary=True),
        sa.Column("device_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("answer", postgresql.JSONB(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        _moment("happened_at"),
        _moment("received_at"),
        _of("sync_mutation", "device_id", "sync_device"),
        sa.UniqueConstraint("device_id", "seq", name=op.f("uq_sync_mutation_device_id_seq")),
        sa.CheckConstraint(
            "outcome IN ('accepted','merged','conflict','rejected')", name=op.f("ck_sync_mutation_outcome")
        ),
    )
    op.create_index("ix_sync_mutation_tenant_id_received_at", "sync_mutation", ["tenant_id", "received_at"])
    op.create_table(
        "sync_notice",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _tenant(),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("device_id", sa.Uuid(), nullable=True),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("lost", postgresql.JSONB(), nullable=False),
        sa.Column("stands", postgresql.JSONB(), nullable=False),
        sa.Column("by_user", sa.Uuid(), nullable=True),
        _moment("at"),
        _of("sync_notice", "user_id", "app_user"),
    )
    op.create_index(op.f("ix_sync_notice_tenant_id"), "sync_notice", ["tenant_id"])
    for table in ("sync_device", "sync_notice"):
        op.create_index(op.f(f"ix_{table}_user_id"), table, ["user_id"])
    for table, grants in _GRANTS.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT {grants} ON {table} TO flipsync_app, flipsync_worker")
    guards = (Path(__file__).parent.parent / "guards_0027.sql").read_text(encoding="utf-8")
    op.get_bind().connection.cursor().execute(guards)  # the driver itself: % is plain text there


def downgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS note_sync_change, note_sync_gone, mark_product_edits CASCADE")
    for table in reversed(_GRANTS):
        op.drop_table(table)
    op.drop_column("product", "edits")
    op.drop_column("stock_item", "counted_at")
    for name in ("happened_at", "happened_from"):
        op.drop_column("stock_movement", name)
