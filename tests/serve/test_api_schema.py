"""Every operation does what the OpenAPI document says: made-up requests, wrong ones too, over HTTP (schemathesis).

What does not fit the document is refused (`negative_data_rejection`); pydantic's conversions are ours, though: `true`
and "1" where a number is asked for, 0 where a moment is. FastAPI validates what was parsed already, where strict models
would refuse moments and ids written as texts. Of schemathesis's other checks `unsupported_method` looks at cases of its
own phase only: test_problem_documents tries every method of every path. `positive_data_acceptance` takes 412 and 422
for faults, and no schema says all that is refused: a weak password, `role` beside `role_id`, a version that is not the
newest.

`FLIPSYNC_SCHEMA_EXAMPLES=100 pytest tests/serve/test_api_schema.py` looks longer than a run of all tests can.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import schemathesis
from api_routes import DOCUMENT
from api_world import Business
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from listening import listening
from schemathesis import Case, GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi

from flipsync.domain.ids import new_id
from serve.backend import Backend

EXAMPLES = int(os.environ.get("FLIPSYNC_SCHEMA_EXAMPLES", "1"))
CHECKS = [
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
    openapi.negative_data_rejection,
]
OURS = {name.lower() for name in DOCUMENT["components"]["headers"]}
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}


@pytest.fixture(scope="module")
async def address(app: FastAPI) -> AsyncIterator[str]:
    async with listening(app) as where:
        yield f"http://{where}"


async def _signed_in(backend: Backend, business: Business) -> dict[str, str]:
    """An owner who has just signed in, on a session nobody else's request can end."""
    async with backend.store.unit(business.tenant_id) as unit:
        session_id = await business.session(unit, business.users["owner"])
    token = backend.tokens.issue(
        user_id=business.users["owner"], tenant_id=business.tenant_id, role="owner", session_id=session_id
    )
    return {"Authorization": f"Bearer {token}"}


def _asked() -> list[Any]:
    """Each operation asked rightly, and wrongly where there is something to get wrong."""
    right, wrong = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
    return [
        pytest.param(label, mode, id=f"{label} {mode.value}")
        for label, operation in OPERATIONS.items()
        for mode in ((right, wrong) if operation.body or any(operation.iter_parameters()) else (right,))
    ]


def _as_a_program_would(case: Case) -> None:
    """What is good only once, or only with an answer at hand: made up, it is refused before anything else is seen."""
    if case.headers.get("Idempotency-Key"):
        case.headers["Idempotency-Key"] = new_id().hex
    if str(case.headers.get("If-Match", "")).strip('"').isdigit():
        case.headers["If-Match"] = '"1"'
    if isinstance(case.query, dict) and len(str(case.query.get("cursor", ""))) % 4:
        del case.query["cursor"]


@pytest.mark.parametrize(("label", "mode"), _asked())
async def test_answers_are_as_documented(
    label: str, mode: GenerationMode, address: str, backend: Backend, alpha: Business
) -> None:
    operation = OPERATIONS[label]
    headers = await _signed_in(backend, alpha)
    ours: dict[str, Any] = {
        each.name: str(alpha.ids[each.name]) for each in operation.path_parameters if each.name in alpha.ids
    }
    made_up = operation.as_strategy(generation_mode=mode)
    cases = st.one_of(made_up, operation.as_strategy(generation_mode=mode, path_parameters=ours)) if ours else made_up

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: Case) -> None:
        _as_a_program_would(case)
        answer = case.call(base_url=address, headers=headers, timeout=60)
        # where a channel of theirs does not answer, 502 says so
        told = (
            []
            if answer.status_code == 502 and "502" in operation.definition.raw["responses"]
            else [checks.not_a_server_error]
        )
        case.validate_response(answer, checks=CHECKS + told)
        documented = operation.definition.raw["responses"][str(answer.status_code)]["headers"]
        assert not {name for name in answer.headers if name in OURS} - {name.lower() for name in documented}

    await asyncio.to_thread(ask)
