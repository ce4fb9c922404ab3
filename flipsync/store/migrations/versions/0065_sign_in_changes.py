"""What changes how people sign in is found in the audit log without reading all of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0065"
down_revision = "0064"
branch_labels = None
depends_on = None

_NAME = "ix_audit_entry_sign_in_changes"
_TOLD = """action IN ('password.changed', 'second-factor.enabled', 'second-factor.removed', 'recovery-codes.renewed',
    'recovery-code.used', 'passkey.added', 'passkey.revoked', 'provider.linked', 'provider.unlinked',
    'session.copied-token', 'key.made')"""


def upgrade() -> None:
    op.create_index(_NAME, "audit_entry", ["tenant_id", "at"], postgresql_where=sa.text(_TOLD))


def downgrade() -> None:
    op.drop_index(_NAME, "audit_entry")
