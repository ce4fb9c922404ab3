"""Which chance a canary had to price a listing: its budget moves it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0059"
down_revision = "0058"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("policy_choice", sa.Column("canary_share", sa.Float(), nullable=True))
    op.create_check_constraint(op.f("ck_policy_choice_canary_share"), "policy_choice", "canary_share BETWEEN 0 AND 1")


def downgrade() -> None:
    op.drop_constraint(op.f("ck_policy_choice_canary_share"), "policy_choice")
    op.drop_column("policy_choice", "canary_share")
