"""How a channel rates the account."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0064"
down_revision = "0063"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("rated", "rated_because"):
        op.add_column("marketplace_account", sa.Column(name, sa.String(), nullable=False, server_default=""))
    op.create_check_constraint(
        op.f("ck_marketplace_account_rated"), "marketplace_account", "rated IN ('','top','good','below')"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_marketplace_account_rated"), "marketplace_account")
    for name in ("rated_because", "rated"):
        op.drop_column("marketplace_account", name)
