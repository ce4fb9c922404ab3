"""The spine: tenants, catalogue, channels, stock ledger, orders, journal."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from flipsync.store.models import Base

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    Base.metadata.create_all(op.get_bind())
    guards = (Path(__file__).parent.parent / "guards_0001.sql").read_text()
    op.get_bind().connection.cursor().execute(guards)  # the driver itself: % is plain text there


def downgrade() -> None:
    Base.metadata.drop_all(op.get_bind())
