"""Books that were put back are behind the world: what is done to them before anybody works with them again.

Whatever was under way may have happened, so it is asked for before it is done again. Old workers are fenced off by
epochs far beyond theirs. No channel is entitled to a unit until it was read what it shows (`restored_at` and
`reconciled_at` of an account; see runtime.reconciling). Sign-ins that were revoked since do not come back.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, text

from flipsync.domain.clock import utc_now
from flipsync.domain.commands import ReconcileRestored
from flipsync.domain.ids import new_id
from flipsync.store.models import Effect
from flipsync.store.server import connected

_RESTORED = "SELECT id, tenant_id FROM marketplace_account WHERE status <> 'disconnected' ORDER BY id"
#: no worker that knew the books before has seen as many lives
_EPOCHS = 1_000_000
_SETTLE = (
    """
    UPDATE effect SET state = 'unknown', lease_owner = '', lease_until = NULL, bulk = false,
           epoch = epoch + :epochs, not_before = :now
     WHERE finished_at IS NULL
    """,
    """
    UPDATE agent_task SET state = 'pending', lease_until = NULL, epoch = epoch + :epochs
     WHERE state = 'leased'
    """,
    "UPDATE agent_status SET state = 'down', epoch = epoch + :epochs",
    "UPDATE marketplace_account SET restored_at = :now, reconciled_at = NULL WHERE status <> 'disconnected'",
    """
    UPDATE allocation SET entitled = 0, pending = 0, updated_at = :now
     WHERE listing_id IN (SELECT l.id FROM listing l JOIN marketplace_account a ON a.id = l.account_id
                           WHERE a.status <> 'disconnected' AND l.pool = 'own')
    """,
    # a mail that waits here may have gone out since: a doubled order is paid twice, so a person asks the supplier
    """
    UPDATE purchase_order SET mail = 'unknown', mail_detail = 'the books were put back: it may have been sent since',
           mail_not_before = NULL, mail_lease_until = NULL
     WHERE mail IN ('waiting', 'sending')
    """,
    "UPDATE user_session SET revoked_at = :now WHERE revoked_at IS NULL",
    "UPDATE refresh_token SET revoked_at = :now WHERE revoked_at IS NULL",
    # its first use would tell nobody anything: what it answered is not known here
    "DELETE FROM idempotency_record WHERE status IS NULL",
)


_TOMBSTONES = {
    "erasure": "SELECT tenant_id, account_id, order_external_id, reason, asked_at, erased_at FROM erasure ORDER BY id",
    "user_erasure": "SELECT tenant_id, user_id, erased_at FROM user_erasure ORDER BY id",
}


def tombstones(owner_url: str) -> list[dict[str, Any]]:
    """Of orders and people of all businesses in these books; none where they are older than tombstones."""
    found: list[dict[str, Any]] = []
    with connected(owner_url) as connection:
        for table, query in _TOMBSTONES.items():
            if connection.execute(text("SELECT to_regclass(:table)"), {"table": table}).scalar() is not None:
                found += [dict(row) for row in connection.execute(text(query)).mappings()]
    return found


def settle(owner_url: str) -> int:
    """Make restored books of the newest schema safe to work with, in one transaction; returns how many accounts have to
    be read before anything is granted to them."""
    now = utc_now()
    with connected(owner_url) as connection:
        for statement in _SETTLE:
            connection.execute(text(statement), {"epochs": _EPOCHS, "now": now})
        accounts = connection.execute(text(_RESTORED)).all()
        for account in accounts:
            effect_id = new_id()
            command = ReconcileRestored(account_id=account.id)
            values = {
                "id": effect_id,
                "tenant_id": account.tenant_id,
                "account_id": account.id,
                "command": command.type_name(),
                "payload": command.model_dump(mode="json"),
                "subject_kind": "account",
                "subject_id": account.id,
                "key": f"restored:{account.id}:{effect_id}",
                "priority": command.priority(),
                "correlation_id": effect_id,
            }
            connection.execute(insert(Effect).values(values))
    return len(accounts)
