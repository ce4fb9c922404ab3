"""Work that was set aside may be released by the API's role: from failed to pending, and nothing else of a task."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_COLUMNS = "state, attempts, not_before, finished_at"


def upgrade() -> None:
    op.execute(
        "CREATE POLICY only_release ON agent_task AS RESTRICTIVE FOR UPDATE TO flipsync_app"
        " USING (state = 'failed') WITH CHECK (state = 'pending')"
    )
    op.execute(f"GRANT UPDATE ({_COLUMNS}) ON agent_task TO flipsync_app")


def downgrade() -> None:
    op.execute(f"REVOKE UPDATE ({_COLUMNS}) ON agent_task FROM flipsync_app")
    op.execute("DROP POLICY only_release ON agent_task")
