"""What is worth telling a person, how each wants to be told, and questions that go on to the next person."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_TABLES = ("notification", "notification_preference")
#: what is open of each table, so that looking costs what is open and not what there ever was
_OPEN = {
    "approval": ("ix_approval_open", ["tenant_id", "id"], "state = 'open'"),
    "refund_request": ("ix_refund_request_unknown", ["tenant_id", "id"], "state = 'unknown'"),
    "label_purchase": ("ix_label_purchase_unknown", ["tenant_id", "id"], "state = 'unknown'"),
}


def _moment(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _a_persons(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["app_user.tenant_id", "app_user.id"],
            name=op.f(f"fk_{table}_tenant_id_user_id"),
            ondelete="CASCADE",
        ),
    )


def upgrade() -> None:
    op.add_column("approval", _moment("escalated_at"))
    op.create_table(
        "notification",
        *_a_persons("notification"),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("subject_kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        _moment("raised_at", nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        _moment("told_at"),
        _moment("read_at"),
        _moment("settled_at"),
        sa.CheckConstraint("severity IN ('info','warning','urgent')", name=op.f("ck_notification_severity")),
        sa.UniqueConstraint("user_id", "key", name=op.f("uq_notification_user_id_key")),
    )
    op.create_index("ix_notification_person", "notification", ["user_id", "raised_at", "id"])
    op.create_index(
        "ix_notification_open", "notification", ["tenant_id", "user_id"], postgresql_where=sa.text("settled_at IS NULL")
    )
    op.create_table(
        "notification_preference",
        *_a_persons("notification_preference"),
        sa.Column("choices", postgresql.JSONB(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("user_id", name=op.f("uq_notification_preference_user_id")),
    )
    for table in _TABLES:
        op.create_index(op.f(f"ix_{table}_tenant_id"), table, ["tenant_id"])
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} USING (tenant_id = (SELECT current_tenant()))"
            " WITH CHECK (tenant_id = (SELECT current_tenant()))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO flipsync_app, flipsync_worker")
    for table, (name, columns, what) in _OPEN.items():
        op.create_index(name, table, columns, postgresql_where=sa.text(what))


def downgrade() -> None:
    for table, (name, _, _) in _OPEN.items():
        op.drop_index(name, table)
    for table in reversed(_TABLES):
        op.drop_table(table)
    op.drop_column("approval", "escalated_at")
