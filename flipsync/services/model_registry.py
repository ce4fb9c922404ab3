"""The registry of policies: kept by content, moved from stage to stage after checks, rolled back in one step.

candidate → shadow (looks on, does nothing) → canary (acts on a share of the listings) → live → retired. One version a
name is in each of shadow, canary and live. What ships without a policy is the rule as it is in the code.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
from dataclasses import asdict, dataclass
from typing import Any, Literal
from uuid import UUID

from flipsync.domain.errors import Conflict, NotFound
from flipsync.learning.policy import Policy
from flipsync.services.learned_buying import ShopOrder
from flipsync.services.learned_pricing import ShopPrice
from flipsync.services.model_checks import Check
from flipsync.store.models import PolicyVersion
from flipsync.store.repositories import policies as rows
from flipsync.store.unit_of_work import UnitOfWork

Stage = Literal["candidate", "shadow", "canary", "live", "retired"]
#: names whose live policy the running system asks
SERVED = (ShopPrice.kind, ShopOrder.kind)
_NEXT: dict[str, str] = {"candidate": "shadow", "retired": "shadow", "shadow": "canary", "canary": "live"}


@dataclass(frozen=True)
class Comparison:
    """A policy beside its baseline on the same runs: (mean, low, high) of each and of the paired difference."""

    unit: str
    worth: tuple[float, float, float]
    baseline: tuple[float, float, float]
    difference: tuple[float, float, float]
    runs: int
    judge_seed: int

    def as_dict(self) -> dict[str, Any]:
        return {name: list(each) if isinstance(each, tuple) else each for name, each in asdict(self).items()}


def digest_of(artefact: str) -> str:
    return hashlib.sha256(artefact.encode()).hexdigest()


def policy_of(row: PolicyVersion) -> Policy:
    """The policy of a row. Raises Conflict when its content is not what was kept, or this version cannot read it."""
    if digest_of(row.artefact) != row.digest:
        raise Conflict(f"policy {row.version} was changed after it was kept", hint="train it again, or roll back")
    try:
        return Policy.from_json(row.artefact)
    except (KeyError, TypeError, ValueError) as error:
        raise Conflict(f"policy {row.version} cannot be read: {error}", hint="train it again") from error


def outcomes_of(name: str) -> Any:
    """The module that says what came of what policies of that name chose: `judged` and `checks`. It loads numpy and
    scipy, which a house without policies need not."""
    module = "order_outcomes" if name == ShopOrder.kind else "policy_outcomes"
    return importlib.import_module(f"flipsync.services.{module}")


async def keep(
    unit: UnitOfWork,
    name: str,
    policy: Policy,
    *,
    experiment_id: UUID | None,
    code_version: str,
    data: dict[str, Any],
    seeds: dict[str, Any],
    scores: dict[str, Any],
) -> UUID:
    """Keep a policy as a candidate; its id. One that is kept already stays as it is."""
    artefact = policy.to_json()
    return await rows.put(
        unit.session,
        {
            "tenant_id": unit.tenant_id,
            "name": name,
            "kind": policy.kind,
            "version": policy.version,
            "digest": digest_of(artefact),
            "artefact": artefact,
            "experiment_id": experiment_id,
            "code_version": code_version,
            "data": data,
            "seeds": seeds,
            "scores": scores,
            "stage": "candidate",
            "staged_at": unit.now,
            "created_at": unit.now,
        },
    )


async def find(unit: UnitOfWork, wanted: str) -> PolicyVersion:
    """By version or id, the newest when several have the version. Raises NotFound."""
    found = await rows.find(unit.session, wanted)
    if not found:
        raise NotFound(f"there is no policy {wanted}", hint="`flipsync models list` shows all")
    return found[0]


async def promote(
    unit: UnitOfWork, wanted: str, *, to: Stage | None = None, reason: str = "", on_my_word: bool = False
) -> PolicyVersion:
    """One stage on, or to `to` when that is the next one. What held the stage is retired.

    Raises Conflict when a check fails, with all that failed; then nothing is changed and what was there goes on.
    `on_my_word`, a person's, stands in for evidence that is still open, never for a check that failed.
    """
    row = await find(unit, wanted)
    was, target = row.stage, _NEXT.get(row.stage)
    if target is None:
        raise Conflict(f"policy {row.version} is live already")
    if to is not None and to != target:
        raise Conflict(
            f"policy {row.version} is {row.stage}: the next stage is {target}, not {to}",
            hint="a policy looks on before it acts, and acts on a part before it acts on all",
        )
    checks = await _checks(unit, row, target)
    failed = [check for check in checks if not check.passed and not (on_my_word and check.still_open)]
    if failed:
        raise Conflict(
            f"policy {row.version} stays {row.stage}: " + "; ".join(check.words for check in failed),
            hint="what decides now goes on deciding",
        )
    acting = await rows.active(unit.session, row.name, lock=True)
    if await rows.stage_now(unit.session, row.id) != was:  # checks take a second; who was quicker has moved it
        raise Conflict(f"policy {row.version} is {was} no more: it was moved while it was checked")
    if target in acting:
        await _move(unit, acting[target], "retired", f"{row.version} takes its place", [])
    await _move(unit, row, target, reason or "promoted", checks)
    return row


async def roll_back(unit: UnitOfWork, name: str, reason: str) -> tuple[PolicyVersion, PolicyVersion | None]:
    """Take back the canary, else the live version: (what was taken back, what is live now; None: the rule as shipped).

    Raises Conflict when there is neither.
    """
    acting = await rows.active(unit.session, name, lock=True)
    if "canary" in acting:
        await _move(unit, acting["canary"], "retired", reason, [])
        return acting["canary"], acting.get("live")
    if "live" not in acting:
        raise Conflict(f"no {name} policy acts: the rule as shipped decides already")
    live = acting["live"]
    before = await rows.lived_before(unit.session, name, live.id)
    await _move(unit, live, "retired", reason, [])
    if before is not None and before.stage == "retired":
        policy_of(before)
        await _move(unit, before, "live", f"{live.version} was rolled back: {reason}", [])
        return live, before
    return live, None


async def _move(unit: UnitOfWork, row: PolicyVersion, stage: str, reason: str, checks: list[Check]) -> None:
    told = [asdict(check) for check in checks]
    await rows.set_stage(unit.session, unit.tenant_id, row, stage, reason=reason, checks=told, at=unit.now)


async def _checks(unit: UnitOfWork, row: PolicyVersion, target: str) -> list[Check]:
    """What has to hold before a policy moves on; each with what was seen."""
    policy = policy_of(row)
    checks = [Check("content", True, f"its SHA-256 is {row.digest[:12]}…, as when it was kept")]
    served = row.name in SERVED and policy.kind == row.name
    words = "the running system asks it" if served else f"nothing in the running system asks a {row.name} policy"
    checks.append(Check("served", served, words))
    difference = row.scores.get("difference")
    if not difference or difference[1] <= 0:
        words = "the study found nothing better than the baseline, which ships" if difference else "it was never judged"
        checks.append(Check("simulation", False, words))
    else:
        told = f"beats the baseline by {difference[0]:.4g} [{difference[1]:.4g}, {difference[2]:.4g}] in simulation"
        checks.append(Check("simulation", True, told))
    checks += await asyncio.to_thread(_limits, policy)
    if target in ("canary", "live"):
        checks += await outcomes_of(row.name).checks(unit, row, target)
    return checks


def _limits(policy: Policy) -> list[Check]:
    """The limits it keeps by itself. Played through, which takes a second: away from the loop, without the books."""
    from flipsync.services import model_limits  # numpy and scipy: only for whoever promotes

    if isinstance(policy, ShopPrice):
        return [model_limits.lawful(policy), model_limits.competes(policy)]
    return [model_limits.orders_lawful(policy)] if isinstance(policy, ShopOrder) else []
