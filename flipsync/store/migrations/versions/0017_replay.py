"""What each decision read, packed, so that it can be made again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_TABLE = "decision_notes"


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "id"],
            ["agent_decision.tenant_id", "agent_decision.id"],
            name=op.f(f"fk_{_TABLE}_tenant_id_id"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("tenant_id", "id", name=op.f(f"uq_{_TABLE}_tenant_id_id")),
    )
    # it is packed already: PostgreSQL need not try
    op.execute(f"ALTER TABLE {_TABLE} ALTER COLUMN packed SET STORAGE EXTERNAL")
    op.execute(f"ALTER TABLE {_TABLE} ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant_isolation ON {_TABLE} USING (tenant_id = (SELECT current_tenant()))"
        " WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )
    op.execute(f"GRANT SELECT, INSERT, DELETE ON {_TABLE} TO flipsync_app, flipsync_worker")


def downgrade() -> None:
    op.drop_table(_TABLE)
