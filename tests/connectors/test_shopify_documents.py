"""Every document and variable sent to Shopify is valid by the official schema, and nothing in it is deprecated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from graphql import (
    GraphQLSchema,
    OperationDefinitionNode,
    execute_sync,
    parse,
    specified_rules,
    validate,
)
from graphql.execution.values import get_variable_values
from graphql.validation import NoDeprecatedCustomRule
from pydantic import SecretStr

from flipsync.connectors.base import QuantityChange
from flipsync.connectors.marketplaces.shopify import documents, order_documents
from flipsync.connectors.marketplaces.shopify.documents import Document
from flipsync.domain.channel import Offer, OfferGroup, RefundOrder
from flipsync.domain.money import usd
from flipsync.sandbox.shopify.schema import QueryCost, served_schema

ALL = {
    value.name: value
    for module in (documents, order_documents)
    for value in vars(module).values()
    if isinstance(value, Document)
}
SIZES = {
    "Listings": {"first": documents.LISTINGS_PAGE},
    "Changed": {"first": documents.LISTINGS_PAGE},
    "ReadListings": {"ids": ["x"] * documents.NODES_PAGE},
    "Orders": {"first": order_documents.ORDERS_PAGE},
}


@pytest.mark.parametrize("name", sorted(ALL))
def test_the_official_schema_takes_the_document(admin: GraphQLSchema, name: str) -> None:
    problems = validate(admin, parse(ALL[name].text), [*specified_rules, NoDeprecatedCustomRule])
    assert [problem.message for problem in problems] == []


@pytest.mark.parametrize("name", sorted(ALL))
def test_the_document_says_what_it_is(name: str) -> None:
    document = ALL[name]
    (operation,) = [node for node in parse(document.text).definitions if isinstance(node, OperationDefinitionNode)]
    assert operation.name is not None and operation.name.value == name
    assert (operation.operation.value == "mutation") == document.writes
    roots = [node.name.value for node in operation.selection_set.selections]  # type: ignore[attr-defined]
    assert document.root in roots


@pytest.mark.parametrize("name", sorted(ALL))
def test_the_cost_is_known_and_within_what_one_query_may_cost(name: str) -> None:
    document = parse(ALL[name].text)
    (operation,) = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    cost = QueryCost(document, SIZES.get(name, {})).of(operation)
    assert cost <= 1000
    assert ALL[name].cost == cost


async def test_every_request_of_a_shops_day_is_valid_by_the_official_schema(
    admin: GraphQLSchema, open_channel: Any
) -> None:
    """What is really sent, with its variables, over everything the connector can do."""
    channel = open_channel("shopify")
    await a_day(channel)
    names = set()
    for request in channel.tap.requests:
        if not request.url.path.endswith("/graphql.json"):
            continue
        body = json.loads(request.content)
        names.add(body["operationName"])
        document = parse(body["query"])
        (operation,) = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        coerced = get_variable_values(admin, operation.variable_definitions or (), body["variables"])
        assert not isinstance(coerced, list), [str(problem) for problem in coerced]
    assert names >= set(ALL) - {
        "Locations",
        "OrderRefundIds",
        "ReadRefund",
        "Resubscribe",
        "Unsubscribe",
        "ActivateStock",
    }


async def a_day(channel: Any) -> None:
    connector = channel.connector
    await connector.probe()
    group = OfferGroup(key="g", title="Shirt", options=("Size",), values={"Size": ("S", "M")})
    lamp = Offer(
        sku="LAMP",
        title="Lamp",
        price=usd("19.90"),
        quantity=5,
        barcode="4006381333931",
        brand="Lumen",
        category="Lighting",
        images=("https://img.example/1.jpg",),
        weight_grams=1250,
        attributes={"Color": "Brass"},
    )
    made = await connector.publish(lamp, "k1")
    sizes = [
        await connector.publish(
            Offer(sku=f"S-{size}", title="Shirt", price=usd("9"), quantity=2, group=group, choices=(size,)), f"k-{size}"
        )
        for size in ("S", "M")
    ]
    await connector.revise(made.external_id, lamp.model_copy(update={"title": "Lamp 2"}), "k2")
    await connector.revise(made.external_id, lamp.model_copy(update={"images": ("https://img.example/2.jpg",)}), "k3")
    assert await connector.read_whole(made.external_id)
    assert sum([count async for count in connector.learn_all()]) == 3
    pictured = group.model_copy(update={"images": ("https://img.example/3.jpg",)})
    shirt = Offer(sku="S-S", title="Shirt", price=usd("9"), quantity=2, group=pictured, choices=("XS",))
    shirt = shirt.model_copy(update={"attributes": {"Fabric": "Linen"}})
    await connector.revise(sizes[0].external_id, shirt, "k3s")
    await connector.set_price(made.external_id, usd("21"), "k4")
    await connector.set_quantity(made.external_id, 4, "k5", "5")
    await connector.set_quantities([QuantityChange(state.external_id, 7, "k6") for state in sizes])
    order_id = channel.sell("LAMP")
    await connector.confirm_shipment(order_id, "UPS", "1Z", "k7")
    back = RefundOrder(order_external_id=order_id, amount=usd("1"), reason="a scratch", reference="FS-1")
    assert await connector.issue_refund(back, "k7r")
    assert [order async for order in connector.orders(made.modified_at)]
    await connector.end(sizes[0].external_id, "k8")
    await connector.publish(
        Offer(sku="S-S", title="Shirt", price=usd("9"), quantity=2, group=group, choices=("XS",)), "k9"
    )
    await connector.end(made.external_id, "k10")
    assert [state async for state in connector.listings()]
    assert [state async for state in connector.changed_listings(made.modified_at)]
    fresh = type(connector)(connector.config, connector.credentials, connector.limiter, "b", transport=channel.tap)
    assert all(
        outcome.error is None
        for outcome in await fresh.set_quantities([QuantityChange(sizes[1].external_id, 1, "k11")])
    )
    await connector.ensure_webhooks("https://listener.test/hook", SecretStr("s"))


def test_a_wrong_variable_would_be_noticed(admin: GraphQLSchema) -> None:
    """The check above can fail."""
    document = parse(documents.SET_QUANTITIES.text)
    (operation,) = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    coerced = get_variable_values(admin, operation.variable_definitions or (), {"input": {"nme": "x"}, "key": "k"})
    assert isinstance(coerced, list) and coerced


def test_the_sandboxs_schema_serves_every_document() -> None:
    for document in ALL.values():
        assert validate(served_schema(), parse(document.text)) == [], document.name
    assert execute_sync(served_schema(), parse("{ __typename }")).data == {"__typename": "QueryRoot"}
