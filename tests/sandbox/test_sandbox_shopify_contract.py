"""The sandbox's Shopify is a part of the official one: its schema is a subset, and its answers are true to it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    build_client_schema,
    get_named_type,
    is_introspection_type,
    is_specified_scalar_type,
    parse,
    validate,
)

from flipsync.sandbox.buyers import Buyer
from flipsync.sandbox.shopify.access import FIELD_SCOPES, TYPE_SCOPES
from flipsync.sandbox.shopify.schema import served_schema


@pytest.fixture(scope="session")
def document(contracts: Path) -> dict[str, Any]:
    file = contracts / "shopify" / "admin_2026-10.json.gz"
    found: dict[str, Any] = json.loads(gzip.decompress(file.read_bytes()))
    return found


@pytest.fixture(scope="session")
def admin(document: dict[str, Any]) -> GraphQLSchema:
    # Defect of the document: six deprecations of fields differ from their interfaces', which graphql-core refuses.
    return build_client_schema(document["data"], assume_valid=True)


def served_types() -> Iterator[Any]:
    for kind in served_schema().type_map.values():
        if not is_introspection_type(kind) and not is_specified_scalar_type(kind):
            yield kind


@pytest.mark.parametrize("name", sorted(kind.name for kind in served_types()))
def test_a_served_type_is_the_official_one_with_less_in_it(admin: GraphQLSchema, name: str) -> None:
    ours, theirs = served_schema().type_map[name], admin.type_map[name]
    assert type(ours) is type(theirs)
    if isinstance(ours, GraphQLEnumType) and isinstance(theirs, GraphQLEnumType):
        assert set(ours.values) <= set(theirs.values)
    elif isinstance(ours, GraphQLInputObjectType) and isinstance(theirs, GraphQLInputObjectType):
        assert ours.is_one_of == theirs.is_one_of
        for field, spec in ours.fields.items():
            assert str(spec.type) == str(theirs.fields[field].type), field
            assert spec.default_value == theirs.fields[field].default_value, field
        needed = {field for field, spec in theirs.fields.items() if isinstance(spec.type, GraphQLNonNull)}
        assert needed <= set(ours.fields), "what is required is required here too"
    elif isinstance(ours, GraphQLObjectType | GraphQLInterfaceType):
        assert isinstance(theirs, GraphQLObjectType | GraphQLInterfaceType)
        assert {each.name for each in ours.interfaces} <= {each.name for each in theirs.interfaces}
        for field, spec in ours.fields.items():
            official = theirs.fields[field]
            assert official.deprecation_reason is None, f"{field} is deprecated"
            assert str(spec.type) == str(official.type), field
            for argument, given in spec.args.items():
                assert str(given.type) == str(official.args[argument].type), (field, argument)
                assert given.default_value == official.args[argument].default_value, (field, argument)
            needed = {arg for arg, each in official.args.items() if isinstance(each.type, GraphQLNonNull)}
            assert needed <= set(spec.args), field
    else:
        assert isinstance(ours, GraphQLScalarType)


def test_the_directive_is_the_official_one(admin: GraphQLSchema) -> None:
    ours, theirs = served_schema().get_directive("idempotent"), admin.get_directive("idempotent")
    assert ours is not None and theirs is not None
    assert ours.locations == theirs.locations
    assert {name: str(arg.type) for name, arg in ours.args.items()} == {
        name: str(arg.type) for name, arg in theirs.args.items()
    }


def test_the_scopes_are_the_official_ones(document: dict[str, Any]) -> None:
    types = {
        row["typeName"]: row["offlineScopes"] for row in document["offline_scopes"]["items"] if row["type"] == "type"
    }
    fields = {
        (row["typeName"], row["fieldName"]): row["offlineScopes"]
        for row in document["offline_scopes"]["items"]
        if row["type"] != "type"
    }
    for name, scopes in TYPE_SCOPES.items():
        assert set(scopes) == set(types[name]), name
    for field, scopes in FIELD_SCOPES.items():
        assert set(scopes) == set(fields[field]), field


# Answers


class Reader:
    """Checks an answer's data against a schema, selection by selection."""

    def __init__(self, schema: GraphQLSchema, query: str, variables: dict[str, Any]) -> None:
        self.schema = schema
        self.variables = variables
        document = parse(query)
        (self.operation,) = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
        self.fragments = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self.seen = 0

    def check(self, data: Any) -> None:
        root = self.schema.get_root_type(self.operation.operation)
        assert root is not None
        self._object(data, root, self.operation.selection_set, "")

    def _object(self, value: dict[str, Any], kind: Any, selections: Any, path: str) -> None:
        if isinstance(kind, GraphQLInterfaceType):
            return  # which type it is can only be told from what was selected of it
        for node in selections.selections:
            if isinstance(node, FragmentSpreadNode | InlineFragmentNode):
                fragment = self.fragments[node.name.value] if isinstance(node, FragmentSpreadNode) else node
                self._object(value, kind, fragment.selection_set, path)
                continue
            assert isinstance(node, FieldNode)
            name = (node.alias or node.name).value
            if node.directives and node.directives[0].name.value == "include" and name not in value:
                continue
            assert name in value, f"{path}.{name} is missing"
            self._value(value[name], kind.fields[node.name.value].type, node.selection_set, f"{path}.{name}")

    def _value(self, value: Any, kind: Any, selections: Any, path: str) -> None:
        self.seen += 1
        if isinstance(kind, GraphQLNonNull):
            assert value is not None, f"{path} is null"
            kind = kind.of_type
        if value is None:
            return
        if isinstance(kind, GraphQLList):
            assert isinstance(value, list), path
            for place, row in enumerate(value):
                self._value(row, kind.of_type, selections, f"{path}[{place}]")
        elif isinstance(kind, GraphQLEnumType):
            assert value in kind.values, f"{path}: {value}"
        elif isinstance(kind, GraphQLScalarType):
            _check_scalar(kind.name, value, path)
        else:
            self._object(value, get_named_type(kind), selections, path)


def _check_scalar(name: str, value: Any, path: str) -> None:
    texts = {"ID", "String", "DateTime", "Decimal", "Money", "HTML", "URL", "UnsignedInt64"}
    assert isinstance(value, str) if name in texts else isinstance(value, int | float), f"{path}: {value!r}"
    if name == "DateTime":
        assert value.endswith("Z") and len(value) == 20, f"{path}: {value}"
    if name == "ID":
        assert value.startswith("gid://shopify/"), f"{path}: {value}"


EVERYTHING = """query Everything($variant: ID!, $order: ID!, $location: ID!, $publication: ID!) {
  shop { id name currencyCode ianaTimezone myshopifyDomain weightUnit taxesIncluded }
  currentAppInstallation { id accessScopes { handle description } }
  locations(first: 5) { nodes { id legacyResourceId name isActive fulfillsOnlineOrders } pageInfo { hasNextPage } }
  publications(first: 5) {
    nodes { id catalog { id title } channels(first: 2) { nodes { id name handle } pageInfo { hasNextPage } } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
  products(first: 5) { nodes {
    id legacyResourceId title handle status vendor productType descriptionHtml createdAt updatedAt hasOnlyDefaultVariant
    totalInventory tracksInventory options { id name position values } metafield(namespace: "x", key: "y") { id value }
    publishedOnPublication(publicationId: $publication)
    variants(first: 5) { nodes { id sku } pageInfo { hasNextPage } }
  } pageInfo { hasNextPage } }
  productVariant(id: $variant) {
    id legacyResourceId sku title displayName price barcode position createdAt updatedAt availableForSale
    inventoryPolicy inventoryQuantity selectedOptions { name value } publishedOnPublication(publicationId: $publication)
    product { id title } metafield(namespace: "flipsync", key: "k") { id key namespace type value }
    inventoryItem {
      id legacyResourceId sku tracked updatedAt measurement { weight { unit value } }
      inventoryLevel(locationId: $location) {
        id isActive updatedAt item { id } location { id name }
        quantities(names: ["available", "on_hand", "committed"]) { id name quantity updatedAt }
      }
    }
  }
  order(id: $order) {
    id legacyResourceId name number createdAt processedAt updatedAt cancelledAt cancelReason test confirmed restockable
    fullyPaid taxesIncluded currencyCode note email phone displayFinancialStatus displayFulfillmentStatus
    totalPriceSet { shopMoney { amount currencyCode } presentmentMoney { amount currencyCode } }
    totalTaxSet { shopMoney { amount } } totalShippingPriceSet { shopMoney { amount } }
    totalRefundedSet { shopMoney { amount } }
    shippingAddress {
      id name firstName lastName company address1 address2 city province provinceCode zip country countryCodeV2 phone
    }
    lineItems(first: 5) { nodes {
      id sku title variantTitle name quantity currentQuantity unfulfilledQuantity variant { id } product { id }
      originalTotalSet { shopMoney { amount } } originalUnitPriceSet { shopMoney { amount } }
      discountAllocations { allocatedAmountSet { shopMoney { amount } } }
      taxLines { title rate priceSet { shopMoney { amount } } }
    } pageInfo { hasNextPage } }
    refunds(first: 5) {
      id legacyResourceId createdAt note order { id } totalRefundedSet { shopMoney { amount } }
      refundLineItems(first: 5) { nodes { id quantity restockType restocked lineItem { id } } pageInfo { hasNextPage } }
    }
    fulfillments(first: 5) {
      id name status createdAt totalQuantity trackingInfo { company number url } order { id }
    }
    fulfillmentOrders(first: 5) { nodes {
      id status orderId assignedLocation { name countryCode location { id } } supportedActions { action }
      lineItems(first: 5) { nodes { id remainingQuantity totalQuantity sku lineItem { id } } pageInfo { hasNextPage } }
    } pageInfo { hasNextPage } }
  }
  webhookSubscriptions(first: 5) {
    nodes { id legacyResourceId topic uri format filter includeFields createdAt updatedAt } pageInfo { hasNextPage }
  }
}"""


async def test_answers_are_true_to_the_official_schema(admin: GraphQLSchema, shopify: Any) -> None:
    assert validate(admin, parse(EVERYTHING)) == []
    made = await shopify.product(sku="A", price="20.00", quantity=9)
    placed = shopify.sandbox.market.place("shopify", "A", 2, Buyer(0, 0.0, 2))
    with shopify.sandbox.books.transaction():
        shopify.sandbox.market._order_event("refund", placed.id, {"units": 1, "restock": True})
    order = f"gid://shopify/Order/{placed.id}"
    await shopify.fulfill(placed.id)
    await shopify.ask(
        """mutation($s: WebhookSubscriptionInput!) { webhookSubscriptionCreate(topic: ORDERS_CREATE,
        webhookSubscription: $s) { webhookSubscription { id } userErrors { message } } }""",
        {"s": {"uri": "https://x.test/hook"}},
    )
    variables = {
        "variant": made["variants"]["nodes"][0]["id"],
        "order": order,
        "location": "gid://shopify/Location/501",
        "publication": "gid://shopify/Publication/1001",
    }
    answer = await shopify.ask(EVERYTHING, variables)
    assert "errors" not in answer
    reader = Reader(admin, EVERYTHING, variables)
    reader.check(answer["data"])
    assert reader.seen > 200
    assert answer["data"]["order"]["refunds"][0]["refundLineItems"]["nodes"][0]["restockType"] == "CANCEL"
    assert answer["data"]["webhookSubscriptions"]["nodes"][0]["topic"] == "ORDERS_CREATE"
    quantities = answer["data"]["productVariant"]["inventoryItem"]["inventoryLevel"]["quantities"]
    assert [(row["name"], row["quantity"]) for row in quantities] == [
        ("available", 8),
        ("on_hand", 8),
        ("committed", 0),
    ]


def test_a_wrong_answer_would_be_noticed(admin: GraphQLSchema) -> None:
    reader = Reader(admin, "{ shop { name currencyCode } }", {})
    for shop in ({"name": None, "currencyCode": "USD"}, {"name": "x", "currencyCode": "XXX1"}, {"name": "x"}):
        with pytest.raises(AssertionError):
            reader.check({"shop": shop})
