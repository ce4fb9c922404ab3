"""A question may be superseded by a newer one about the same thing."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NAME = "ck_approval_state"


def upgrade() -> None:
    _allow("'open','approved','refused','expired','superseded'")


def downgrade() -> None:
    op.execute("UPDATE approval SET state = 'expired' WHERE state = 'superseded'")
    _allow("'open','approved','refused','expired'")


def _allow(states: str) -> None:
    op.drop_constraint(op.f(_NAME), "approval", type_="check")
    op.create_check_constraint(op.f(_NAME), "approval", f"state IN ({states})")
