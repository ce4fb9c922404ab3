"""Our shapes take whatever the vendors' models allow: the least, all, nulls, and what comes without a new version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from amazon_models import Models
from ebay_documents import APIS, document
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLEnumType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
)
from made_answers import KINDS, How, made
from pydantic import TypeAdapter
from test_amazon_examples import DECODERS, declared

from flipsync.connectors.marketplaces.amazon import order_mapping, wire_orders
from flipsync.connectors.marketplaces.ebay import wire, wire_notices
from flipsync.connectors.marketplaces.ebay import wire_orders as ebay_orders
from flipsync.connectors.marketplaces.shopify import documents, order_documents, order_wire
from flipsync.connectors.marketplaces.shopify import wire as shop

#: what an answer is about: without it there is no answer, though the models let it be left out
_POINT = ("payload", "restrictedDataToken", "_links", "transactions", "actions")


@pytest.mark.parametrize("name", sorted(DECODERS))
def test_amazon(models: Models, name: str) -> None:
    operation = declared(models, name)
    answers = [row["schema"] for code, row in operation.spec["responses"].items() if code < "3" and "schema" in row]
    resolve = _resolver(models.documents[operation.model])
    for schema in answers:
        for how in KINDS:
            answer = made(schema, how, resolve)
            _come_to_the_point(schema, answer, how, resolve)
            DECODERS[name](answer)


def _come_to_the_point(
    schema: Mapping[str, Any], answer: Any, how: How, resolve: Callable[[str], Mapping[str, Any]]
) -> None:
    """An answer that says the least says it about something."""
    while "$ref" in schema:
        schema = resolve(schema["$ref"])
    for name in _POINT:
        inner = schema.get("properties", {}).get(name)
        if inner is not None and isinstance(answer, dict):
            if answer.get(name) is None:
                answer[name] = made(inner, how, resolve)
            _come_to_the_point(inner, answer[name], how, resolve)


def test_an_amazon_order_of_a_status_nobody_knows_keeps_its_units(models: Models) -> None:
    schema = declared(models, "getOrder").spec["responses"]["200"]["schema"]
    for how, status in (("beyond", "A_WORD_ADDED_SINCE"), ("least", "")):
        answer = made(schema, how, _resolver(models.documents["orders_2026-01-01"]))  # type: ignore[arg-type]
        row = wire_orders.OrderAnswer.model_validate(answer).order
        assert row.fulfillment.fulfillment_status == status
        order = order_mapping.order(row, "USD")
        assert (order.status, order.holds_stock) == ("pending", True)


_TREE = "/commerce/taxonomy/v1/category_tree/{category_tree_id}"
_EBAY: dict[tuple[str, str], Any] = {
    ("GET", "/sell/inventory/v1/inventory_item/{sku}"): wire.Item,
    ("GET", "/sell/inventory/v1/inventory_item"): wire.Items,
    ("GET", "/sell/inventory/v1/offer"): wire.Offers,
    ("GET", "/sell/inventory/v1/inventory_item_group/{inventoryItemGroupKey}"): wire.Group,
    ("GET", "/sell/inventory/v1/location"): wire.Locations,
    ("POST", "/sell/inventory/v1/bulk_get_inventory_item"): wire.BulkItems,
    ("POST", "/sell/inventory/v1/bulk_update_price_quantity"): wire.PriceQuantities,
    ("POST", "/sell/inventory/v1/bulk_migrate_listing"): wire.Migrations,
    ("POST", "/sell/inventory/v1/offer"): wire.OfferMade,
    ("GET", "/sell/fulfillment/v1/order"): ebay_orders.Orders,
    ("GET", "/sell/fulfillment/v1/order/{orderId}"): ebay_orders.Order,
    ("GET", "/sell/fulfillment/v1/order/{orderId}/shipping_fulfillment"): ebay_orders.Fulfillments,
    ("POST", "/sell/fulfillment/v1/order/{order_id}/issue_refund"): ebay_orders.Refund,
    ("GET", "/sell/account/v1/payment_policy"): wire.Policies,
    ("GET", "/sell/account/v1/fulfillment_policy"): wire.Policies,
    ("GET", "/sell/account/v1/return_policy"): wire.Policies,
    ("GET", "/sell/account/v1/privilege"): wire.Privileges,
    ("GET", "/commerce/identity/v1/user/"): wire.User,
    ("GET", "/commerce/taxonomy/v1/get_default_category_tree_id"): wire.CategoryTree,
    ("GET", f"{_TREE}/get_category_suggestions"): wire.CategorySuggestions,
    ("GET", f"{_TREE}/get_item_aspects_for_category"): wire.Aspects,
    ("GET", "/commerce/notification/v1/topic"): wire_notices.Topics,
    ("GET", "/commerce/notification/v1/destination"): wire_notices.Destinations,
    ("GET", "/commerce/notification/v1/subscription"): wire_notices.Subscriptions,
    ("GET", "/commerce/notification/v1/public_key/{public_key_id}"): wire_notices.PublicKey,
    ("GET", "/developer/analytics/v1_beta/rate_limit/"): wire.RateLimits,
}


@pytest.mark.parametrize(("method", "path"), sorted(_EBAY))
def test_ebay(contracts: Path, method: str, path: str) -> None:
    base = next(each for each in APIS if path.startswith(f"{each}/"))
    judge = document(contracts / "ebay", APIS[base])
    operation = judge.document["paths"][path.removeprefix(base)][method.lower()]
    answers = [row for code, row in operation["responses"].items() if code < "3" and "content" in row]
    assert answers
    for row in answers:
        schema = row["content"]["application/json"]["schema"]
        for how in KINDS:
            if how not in ("least", "nulls"):  # eBay's documents call next to nothing required
                _EBAY[method, path].model_validate(made(schema, how, _resolver(judge.document)))


_SCALARS = {
    "ID": "gid://shopify/ProductVariant/1",
    "Int": 1,
    "Float": 1.5,
    "Boolean": True,
    "DateTime": "2026-03-02T14:00:00Z",
    "Decimal": "19.90",
    "Money": "19.90",
    "URL": "https://cdn.example/x.jpg",
}
_SHOPIFY: dict[str, Any] = {
    "Locations": shop.Connection[shop.Location],
    "Publications": shop.Connection[shop.Publication],
    "Listings": shop.Connection[shop.Variant],
    "ReadListing": shop.Variant | None,
    "ReadWhole": shop.Variant | None,
    "ReadListings": list[shop.Variant | None],
    "ProductSkus": shop.Siblings | None,
    "Siblings": shop.Siblings | None,
    "BeforeRevision": shop.BeforeRevision | None,
    "VariantPictures": shop.PicturedVariants | None,
    "Categories": shop.Taxonomy | None,
    "Definitions": shop.Connection[shop.Definition],
    "Define": shop.DefinitionPayload | None,
    "SetProduct": shop.ProductPayload | None,
    "UpdateProduct": shop.Payload | None,
    "CreateVariants": shop.VariantsPayload | None,
    "UpdateVariants": shop.VariantsPayload | None,
    "Publish": shop.Payload | None,
    "Unpublish": shop.Payload | None,
    "SetQuantities": shop.QuantitiesPayload | None,
    "ActivateStock": shop.Payload | None,
    "Subscriptions": shop.Connection[shop.Subscription],
    "Subscribe": shop.SubscriptionPayload | None,
    "Resubscribe": shop.SubscriptionPayload | None,
    "Orders": shop.Connection[order_wire.Order],
    "ReadOrder": order_wire.Order | None,
    "ReadRefund": order_wire.Refund | None,
    "FulfillmentOrders": order_wire.ShippableOrder | None,
    "Fulfill": shop.Payload | None,
    "Payments": order_wire.Payments | None,
    "GiveBack": order_wire.RefundGiven | None,
}
_DOCUMENTS = {
    value.name: value
    for module in (documents, order_documents)
    for value in vars(module).values()
    if isinstance(value, documents.Document)
}


@pytest.mark.parametrize("name", sorted(_SHOPIFY))
@pytest.mark.parametrize("how", ["nulls", "whole", "beyond"])
def test_shopify(admin: GraphQLSchema, name: str, how: How) -> None:
    told = _Graph(admin, _DOCUMENTS[name].text, how).answer()[_DOCUMENTS[name].root]
    TypeAdapter(_SHOPIFY[name]).validate_python(told)


def _resolver(doc: Mapping[str, Any]) -> Callable[[str], Mapping[str, Any]]:
    def resolve(reference: str) -> Mapping[str, Any]:
        found: Any = doc
        for part in reference.split("/")[1:]:
            found = found[part]
        return found  # type: ignore[no-any-return]

    return resolve


class _Graph:
    """The answer to a document by the schema; with nulls, whatever may be null is, but for what was asked for."""

    def __init__(self, schema: GraphQLSchema, text: str, how: How) -> None:
        self.schema, self.how = schema, how
        nodes = parse(text).definitions
        self.fragments = {node.name.value: node for node in nodes if isinstance(node, FragmentDefinitionNode)}
        (self.operation,) = [node for node in nodes if isinstance(node, OperationDefinitionNode)]

    def answer(self) -> dict[str, Any]:
        root = self.schema.get_root_type(self.operation.operation)
        assert root is not None
        return self._object(root, self.operation.selection_set, top=True)

    def _object(self, kind: Any, chosen: SelectionSetNode, *, top: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for node in chosen.selections:
            if isinstance(node, FieldNode):
                name = node.alias.value if node.alias else node.name.value
                if node.name.value == "__typename":
                    found[name] = kind.name
                else:
                    _merge(found, {name: self._value(kind.fields[node.name.value].type, node, top=top)})
            else:
                inner = self._inner(node)
                on = inner.type_condition
                _merge(found, self._object(self.schema.type_map[on.name.value] if on else kind, inner.selection_set))
        return found

    def _value(self, kind: Any, node: FieldNode, *, top: bool = False) -> Any:
        if isinstance(kind, GraphQLNonNull):
            kind = kind.of_type
        elif self.how == "nulls" and not top:
            return None
        if isinstance(kind, GraphQLList):
            return [self._value(kind.of_type, node)]
        if isinstance(kind, GraphQLEnumType):
            return "A_WORD_ADDED_SINCE" if self.how == "beyond" else next(iter(kind.values))
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType):
            assert node.selection_set is not None
            if not isinstance(kind, GraphQLObjectType):
                return self._object(self._possible(kind, node.selection_set), node.selection_set)
            return self._object(kind, node.selection_set)
        return _SCALARS.get(kind.name, "12")

    def _possible(self, kind: Any, chosen: SelectionSetNode) -> Any:
        """The type that the document asks for by name, else any."""
        for node in chosen.selections:
            if not isinstance(node, FieldNode) and (on := self._inner(node).type_condition):
                return self.schema.type_map[on.name.value]
        return self.schema.get_possible_types(kind)[0]

    def _inner(self, node: Any) -> FragmentDefinitionNode | InlineFragmentNode:
        return node if isinstance(node, InlineFragmentNode) else self.fragments[node.name.value]


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    """A field asked for in two places is answered once, with the choices of both."""
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value
