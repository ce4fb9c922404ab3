"""Statements that find what is worth telling a person, in what the books say now; and questions nobody answered."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models.door import SIGN_IN_CHANGES


@dataclass(frozen=True)
class FoundMatter:
    """Something that is the matter. `key` is its own among all of its source; `order_by` puts the oldest first."""

    source: str
    kind: str
    key: str
    subject_kind: str
    subject_id: UUID | None
    facts: dict[str, Any]


#: source → its open matters as (kind, key, subject_kind, subject_id, facts, since), `since` to put the oldest first.
#: What is of no tenant's row policy (a worker sees all tasks) says whose it is.
_SOURCES = {
    "approval": """
        SELECT CASE WHEN p.expires_at - CAST(:now AS timestamptz) <= (p.expires_at - p.asked_at) * 0.25
                    THEN 'approval-expiring'
                    WHEN p.escalated_at IS NOT NULL THEN 'approval-escalated' ELSE 'approval-waiting' END AS kind,
               p.id::text AS key, 'approval' AS subject_kind, p.id AS subject_id,
               jsonb_build_object('agent', d.agent, 'decision_id', d.id, 'expires_at', p.expires_at) AS facts,
               p.id AS since
          FROM approval p JOIN agent_decision d ON d.id = p.decision_id
         WHERE p.state = 'open' AND p.expires_at > CAST(:now AS timestamptz)""",
    "fault": """
        SELECT 'channel-fault', f.id::text, 'account', f.account_id,
               jsonb_build_object('account', a.name, 'cause', f.cause), f.id
          FROM channel_fault f JOIN marketplace_account a ON a.id = f.account_id
         WHERE f.closed_at IS NULL""",
    "repair": """
        SELECT 'channel-repaired', f.id::text, 'account', f.account_id,
               jsonb_build_object('account', a.name, 'cause', f.cause), f.id
          FROM channel_fault f JOIN marketplace_account a ON a.id = f.account_id
         WHERE f.closed_at > CAST(:now AS timestamptz) - interval '1 day'""",
    "oversold": """
        SELECT 'oversold', o.id::text, 'order', o.id,
               jsonb_build_object('order', o.number, 'account', a.name, 'units', sum(l.short)), o.id
          FROM order_line l JOIN customer_order o ON o.id = l.order_id JOIN marketplace_account a ON a.id = o.account_id
         WHERE l.short > 0 AND o.pool = 'own' AND o.state IN ('received', 'reserved', 'ready')
           AND o.created_at < CAST(:real AS timestamptz) - interval '1 minute'
         GROUP BY o.id, o.number, a.name""",
    "refund": """
        SELECT 'refund-unknown', r.id::text, 'order', r.order_id,
               jsonb_build_object('order', o.number, 'account', a.name, 'refund_id', r.id), r.id
          FROM refund_request r JOIN customer_order o ON o.id = r.order_id
          JOIN marketplace_account a ON a.id = o.account_id
         WHERE r.state = 'unknown'""",
    "label": """
        SELECT 'label-unknown', b.id::text, 'order', b.order_id,
               jsonb_build_object('order', o.number, 'account', a.name, 'label_id', b.id), b.id
          FROM label_purchase b JOIN customer_order o ON o.id = b.order_id
          JOIN marketplace_account a ON a.id = o.account_id
         WHERE b.state = 'unknown'""",
    "shipment": """
        SELECT 'shipment-unconfirmed', s.id::text, 'order', s.order_id,
               jsonb_build_object('order', o.number, 'account', a.name), s.id
          FROM shipment s JOIN customer_order o ON o.id = s.order_id JOIN marketplace_account a ON a.id = o.account_id
         WHERE s.refused_at IS NOT NULL AND s.confirmed_at IS NULL AND o.state = 'ready'""",
    "rival": """
        SELECT 'rival-' || v.alarm, v.id::text, 'listing', v.listing_id,
               jsonb_build_object('listing', l.sku, 'account', a.name), v.id
          FROM rival_alarm v JOIN listing l ON l.id = v.listing_id JOIN marketplace_account a ON a.id = l.account_id
         WHERE v.raised_at > CAST(:now AS timestamptz) - interval '2 days'""",
    "set-aside": """
        SELECT 'work-set-aside', t.agent, 'agent', NULL::uuid,
               jsonb_build_object('agent', t.agent, 'tasks', count(*)), t.agent
          FROM agent_task t WHERE t.state = 'failed' AND t.tenant_id = (SELECT current_tenant())
         GROUP BY t.agent""",
    "held": """
        SELECT 'order-unread', h.id::text, 'account', h.account_id,
               jsonb_build_object('account', a.name, 'order', CASE WHEN h.external_id = '' THEN 'without a readable id'
                                                                   ELSE h.external_id END), h.id
          FROM held_order h JOIN marketplace_account a ON a.id = h.account_id
         WHERE h.settled_at IS NULL AND a.status <> 'disconnected'""",
    "agent": """
        SELECT 'agent-down', s.agent, 'agent', NULL::uuid, jsonb_build_object('agent', s.agent), s.agent
          FROM agent_status s
         WHERE s.state = 'down' AND s.updated_at < CAST(:real AS timestamptz) - interval '1 minute'
         GROUP BY s.agent""",
    "credential": """
        SELECT 'credential-ending', c.id::text || ':' || c.warned_days, 'account', c.account_id,
               jsonb_build_object('account', a.name, 'credential', c.credential, 'ends_at', c.ends_at,
                                  'days', c.warned_days), c.id
          FROM credential_end c JOIN marketplace_account a ON a.id = c.account_id
         WHERE c.warned_days IS NOT NULL""",
    "passkey": """
        SELECT 'passkey-copied', p.id::text, 'user', p.user_id,
               jsonb_build_object('passkey', p.name, 'person', u.email, 'user_id', u.id), p.id
          FROM passkey p JOIN app_user u ON u.id = p.user_id
         WHERE p.copied_at IS NOT NULL AND p.revoked_at IS NULL""",
    "sign-in": f"""
        SELECT 'sign-in-changed', e.id::text, 'user', u.id,
               jsonb_build_object('user_id', u.id, 'change', e.action), e.seq
          FROM audit_entry e
          JOIN app_user u ON u.id::text = CASE WHEN e.subject_kind = 'user' THEN e.subject_id
                                               ELSE coalesce(e.details ->> 'user', e.actor_id::text) END
         WHERE e.action IN {SIGN_IN_CHANGES} AND e.at > CAST(:real AS timestamptz) - interval '2 days'""",  # noqa: S608
    "key": """
        SELECT 'key-ending', k.id::text || ':' || t.days, 'user', k.user_id,
               jsonb_build_object('user_id', k.user_id, 'key', k.name, 'ends_at', k.expires_at, 'days', t.days), k.id
          FROM api_key k CROSS JOIN LATERAL (
               SELECT CASE WHEN k.expires_at > CAST(:real AS timestamptz) + interval '1 day' THEN 7 ELSE 1 END
               ) AS t (days)
         WHERE k.revoked_at IS NULL AND k.expires_at > CAST(:real AS timestamptz)
           AND k.expires_at < CAST(:real AS timestamptz) + interval '7 days'
           AND k.expires_at > k.created_at + interval '14 days'""",
    "automation": """
        SELECT 'automation-stopped', w.id::text || ':' || w.changed_at, 'workflow', w.id,
               jsonb_build_object('automation', w.name, 'message', w.note), w.id::text
          FROM workflow w WHERE w.state = 'stopped'
         UNION ALL
        SELECT 'automation-says', s.id::text, 'workflow', w.id,
               jsonb_build_object('automation', w.name, 'message', s.why), s.id::text
          FROM workflow_step s JOIN workflow_run r ON r.id = s.run_id JOIN workflow w ON w.id = r.workflow_id
         WHERE s.kind = 'tell' AND s.state = 'done' AND s.ended_at > CAST(:now AS timestamptz) - interval '1 day'""",
    "purchase": """
        SELECT CASE WHEN o.mail = 'unknown' THEN 'purchase-unknown'
                    WHEN o.state = 'placing' OR o.mail = 'rejected' THEN 'purchase-to-place'
                    ELSE 'purchase-late' END,
               o.id::text, 'purchase_order', o.id,
               jsonb_build_object('order', o.number, 'supplier', s.name,
                                  'about', CASE o.mail_about WHEN 'order' THEN 'order' ELSE 'cancelled order' END), o.id
          FROM purchase_order o JOIN supplier s ON s.id = o.supplier_id
         WHERE o.mail = 'unknown'
            OR (o.state = 'placing' AND o.mail IN ('none', 'rejected'))
            OR (o.state = 'cancelled' AND o.mail = 'rejected')
            OR (o.state IN ('ordered', 'partly_received') AND o.latest_at < CAST(:now AS timestamptz))""",
    "transfer": """
        SELECT 'transfer-short', t.id::text, 'stock_transfer', t.id,
               jsonb_build_object('transfer', t.number, 'sku', v.sku, 'account', a.name, 'sent', t.sent,
                                  'missing', t.sent - t.received), t.id
          FROM stock_transfer t JOIN stock_item i ON i.id = t.from_item_id JOIN variant v ON v.id = i.variant_id
          JOIN marketplace_account a ON a.id = t.account_id
         WHERE t.state = 'sent' AND t.due_at < CAST(:now AS timestamptz)""",
    "report": """
        SELECT CASE r.state WHEN 'made' THEN 'report-ready' ELSE 'report-failed' END, r.id::text, 'report', r.id,
               jsonb_build_object('user_id', s.user_id, 'report', s.kind, 'rhythm', s.rhythm, 'file', r.file_name,
                                  'days', CASE WHEN r.first = r.last THEN r.last::text
                                               ELSE r.first || ' to ' || r.last END), r.id
          FROM report_run r JOIN report_schedule s ON s.id = r.schedule_id
         WHERE r.finished_at > CAST(:real AS timestamptz) - interval '3 days'""",
    # told once a week at most, and only where something new is needed
    "need": """
        SELECT 'listings-need-you', a.id::text || ':' || to_char(max(n.at) AT TIME ZONE 'UTC', 'IYYY-IW'),
               'account', a.id,
               jsonb_build_object('account', a.name, 'listings', count(DISTINCT n.listing_id),
                                  'first', (array_agg(l.sku ORDER BY n.gain_minor DESC, n.id))[1]), min(n.id::text)
          FROM listing_need n JOIN listing l ON l.id = n.listing_id JOIN marketplace_account a ON a.id = l.account_id
         WHERE n.settled_at IS NULL AND a.status <> 'disconnected'
         GROUP BY a.id, a.name""",
}
SOURCES = tuple(_SOURCES)
_COLUMNS = "(kind, key, subject_kind, subject_id, facts, since)"


def _of(source: str) -> str:
    oldest = f"SELECT * FROM ({_SOURCES[source]}) AS m{_COLUMNS} ORDER BY since LIMIT :most"  # noqa: S608
    return (
        f"(SELECT '{source}' AS source, kind, key, subject_kind, subject_id, facts, since::text FROM ({oldest}) AS o)"  # noqa: S608
    )


_OPEN = text(" UNION ALL ".join(_of(source) for source in _SOURCES))


async def open_matters(session: AsyncSession, now: datetime, real: datetime, most: int) -> list[FoundMatter]:
    """What is the matter now: the oldest so many of each source. `now` is business time, `real` the wall clock's."""
    found = await session.execute(_OPEN, {"now": now, "real": real, "most": most})
    return [
        FoundMatter(row.source, row.kind, row.key, row.subject_kind, row.subject_id, row.facts)
        for row in sorted(found, key=lambda row: (SOURCES.index(row.source), row.since))
    ]


async def count_matters(session: AsyncSession, source: str, now: datetime, real: datetime, most: int) -> int:
    """How many there are of one source, counted up to so many."""
    if source not in _SOURCES:
        return 0
    body = text(f"SELECT count(*) FROM (SELECT FROM ({_SOURCES[source]}) AS m LIMIT :most) AS n")  # noqa: S608
    return int(await session.scalar(body, {"now": now, "real": real, "most": most}) or 0)


async def still_open(
    session: AsyncSession, source: str, keys: Collection[str], now: datetime, real: datetime
) -> set[tuple[str, str]]:
    """(kind, key) of those of the keys that still are the matter; for a source with more than is looked at."""
    if source not in _SOURCES:
        return set()
    body = text(f"SELECT m.kind, m.key FROM ({_SOURCES[source]}) AS m{_COLUMNS} WHERE m.key = ANY (:keys)")  # noqa: S608
    found = await session.execute(body, {"now": now, "real": real, "keys": list(keys)})
    return {(row.kind, row.key) for row in found}


_ESCALATE = text(
    """
    WITH unanswered AS (
        SELECT id FROM approval
         WHERE state = 'open' AND escalated_at IS NULL AND expires_at > :now
           AND asked_at + (expires_at - asked_at) * CAST(:share AS float8) <= :now
         ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED)
    UPDATE approval p SET escalated_at = :now FROM unanswered WHERE unanswered.id = p.id
    RETURNING p.id, p.decision_id
    """
)


async def escalate_unanswered(
    session: AsyncSession, now: datetime, share: float, most: int
) -> Sequence[tuple[UUID, UUID]]:
    """Mark open questions that nobody answered within that share of their time; (question, its decision), each once.

    One that is being answered just now is left to who answers it.
    """
    found = await session.execute(_ESCALATE, {"now": now, "share": share, "most": most})
    return [(row.id, row.decision_id) for row in found]
