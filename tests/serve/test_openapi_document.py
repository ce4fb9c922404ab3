"""The OpenAPI document: valid, complete enough to generate a client from, and true."""

from __future__ import annotations

from typing import Any

import pytest
from api_routes import DOCUMENT, GUARDED, ROUTES, Route
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def test_it_is_valid_openapi() -> None:
    validate(DOCUMENT)


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(ids) == len(set(ids)) == len(ROUTES)


@pytest.mark.parametrize("operation", [o for _, o in OPERATIONS], ids=[name for name, _ in OPERATIONS])
def test_every_operation_says_what_it_is_for_and_how_it_fails(operation: dict[str, Any]) -> None:
    assert operation["summary"] and operation["tags"]
    responses = operation["responses"]
    good = [status for status in responses if status.startswith("2")]
    assert good
    if "security" in operation:
        assert {"401", "403", "422"} <= set(responses)
    for status, response in responses.items():
        if status.startswith(("4", "5")) and "monitoring" not in operation["tags"]:
            assert list(response["content"]) == ["application/problem+json"], status
    for status in good:
        if status != "204":
            contents = responses[status]["content"].values()
            assert contents and all(content["schema"] for content in contents), "an answer without a schema"


@pytest.mark.parametrize("route", [r for r in GUARDED if "{" in r.path and "{name}" not in r.path], ids=str)
def test_what_is_asked_for_by_id_may_be_missing(route: Route) -> None:
    assert "404" in DOCUMENT["paths"][route.path][route.method.lower()]["responses"]


@pytest.mark.parametrize(
    "path",
    [
        "/inventory/items/{stock_item_id}/counts",
        "/inventory/receipts",
        "/approvals/{approval_id}/answer",
        "/marketplace/accounts",
        "/oauth/consents",
        "/products/imports",
        "/users",
        "/api-keys",
    ],
)
def test_what_creates_or_books_asks_for_an_idempotency_key(path: str) -> None:
    parameters = DOCUMENT["paths"][f"/api/v1{path}"]["post"]["parameters"]
    assert any(p["name"] == "Idempotency-Key" and p["required"] for p in parameters)


def test_money_is_whole_minor_units_with_a_currency() -> None:
    money = DOCUMENT["components"]["schemas"]["Money"]
    assert money["properties"]["amount_minor"]["type"] == "integer"
    assert set(money["required"]) == {"amount_minor", "currency"}


def test_no_answer_has_room_for_a_secret() -> None:
    words = ("password", "credential", "secret", "token")
    written_only = {"LoginRequest", "RefreshRequest", "ConnectRequest", "CredentialsRequest", "Session"}
    written_only |= {"StartConsentRequest", "StepUpRequest", "ChangePasswordRequest", "AcceptInvitationRequest"}
    written_only |= {"AddPasskeyRequest", "PasskeyProof", "PasskeySignIn"}
    for name, schema in DOCUMENT["components"]["schemas"].items():
        leaking = [field for field in schema.get("properties", {}) if any(word in field for word in words)]
        assert name in written_only or not leaking, (name, leaking)


def test_no_schema_is_named_after_a_module_of_ours() -> None:
    """Two of one name are told apart by their modules, which are nobody's business, and break generated clients."""
    assert [name for name in DOCUMENT["components"]["schemas"] if "__" in name] == []


def test_bodies_may_be_none_or_too_large_and_answers_have_headers() -> None:
    receive = DOCUMENT["paths"]["/api/v1/inventory/receipts"]["post"]["responses"]
    assert {"400", "413"} <= set(receive)
    assert "Idempotent-Replayed" in receive["201"]["headers"] and "Retry-After" in receive["429"]["headers"]
    product = DOCUMENT["paths"]["/api/v1/products/{product_id}"]
    assert "ETag" in product["get"]["responses"]["200"]["headers"]
    assert "413" not in product["get"]["responses"]


BODIES = [
    (f"{where} {side}", content)
    for where, operation in OPERATIONS
    for side, parts in [("request", [operation.get("requestBody", {})]), ("answer", operation["responses"].values())]
    for part in parts
    for kind, content in part.get("content", {}).items()
    if kind == "application/json"
]


@pytest.mark.parametrize("content", [c for _, c in BODIES], ids=[name for name, _ in BODIES])
def test_every_body_has_an_example_that_fits(content: dict[str, Any]) -> None:
    schema = content["schema"] | {"components": DOCUMENT["components"]}
    faults = OAS31Validator(schema).iter_errors(content["example"])
    assert [f"{list(fault.absolute_path)}: {fault.message}" for fault in faults] == []


def test_problems_have_examples_that_fit() -> None:
    problem = OAS31Validator(DOCUMENT["components"]["schemas"]["Problem"] | {"components": DOCUMENT["components"]})
    for status, example in DOCUMENT["components"]["examples"].items():
        problem.validate(example["value"])
        assert example["value"]["status"] == int(status) and "http-" not in example["value"]["type"]


def test_bounds_are_as_they_are_checked_and_files_are_files() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["Money"]["properties"]["amount_minor"]["maximum"] == 2**63 - 1
    assert schemas["Body_products_import_file"]["properties"]["file"]["format"] == "binary"
