"""Agents in several replicas, which can be drained and begun anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0061"
down_revision = "0059"
branch_labels = None
depends_on = None

_STATES = "'starting','ready','down'"


def upgrade() -> None:
    for name, default in (("replica", sa.text("0")), ("replicas", sa.text("1"))):
        op.add_column("agent_status", sa.Column(name, sa.BigInteger(), nullable=False, server_default=default))
    for name in ("draining", "restarting"):
        op.add_column("agent_status", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    op.drop_constraint(op.f("pk_agent_status"), "agent_status")
    op.create_primary_key(op.f("pk_agent_status"), "agent_status", ["agent", "replica"])
    _allow_states(f"{_STATES},'drained'")
    op.create_check_constraint(op.f("ck_agent_status_replica"), "agent_status", "replica >= 0 AND replica < replicas")
    op.execute("GRANT DELETE ON agent_status TO flipsync_worker")


def downgrade() -> None:
    op.execute("REVOKE DELETE ON agent_status FROM flipsync_worker")
    op.execute("DELETE FROM agent_status WHERE replica > 0")
    op.execute("UPDATE agent_status SET state = 'down' WHERE state = 'drained'")
    op.drop_constraint(op.f("ck_agent_status_replica"), "agent_status")
    _allow_states(_STATES)
    op.drop_constraint(op.f("pk_agent_status"), "agent_status")
    op.create_primary_key(op.f("pk_agent_status"), "agent_status", ["agent"])
    for name in ("restarting", "draining", "replicas", "replica"):
        op.drop_column("agent_status", name)


def _allow_states(states: str) -> None:
    op.drop_constraint(op.f("ck_agent_status_state"), "agent_status")
    op.create_check_constraint(op.f("ck_agent_status_state"), "agent_status", f"state IN ({states})")
