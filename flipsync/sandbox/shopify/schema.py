"""The served part of the Admin API's schema, and what a document costs by it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    build_schema,
    get_named_type,
    is_list_type,
)
from graphql.type import GraphQLNonNull, GraphQLOutputType
from graphql.utilities import value_from_ast_untyped

MUTATION_COST = 10.0


@cache
def served_schema() -> GraphQLSchema:
    schema = build_schema(files("flipsync.sandbox.shopify").joinpath("schema.graphql").read_text(encoding="utf-8"))
    for name in ("Money", "Decimal"):
        scalar = schema.type_map[name]
        assert isinstance(scalar, GraphQLScalarType)
        scalar.parse_value = _decimal_text  # type: ignore[method-assign]
    return schema


def _decimal_text(value: Any) -> str:
    """Amounts are decimal strings; bare numbers are taken too."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise GraphQLError("must be a decimal")
    try:
        found = Decimal(str(value))
    except InvalidOperation as error:
        raise GraphQLError(f"invalid decimal '{value}'") from error
    if not found.is_finite():
        raise GraphQLError(f"invalid decimal '{value}'")
    return str(value)


class QueryCost:
    """Calculated query cost: an object 1, scalars nothing, a connection as many as are asked for, a mutation 10.

    https://shopify.dev/docs/apps/build/apis/graphql-admin/rate-limits
    """

    def __init__(self, document: DocumentNode, variables: Mapping[str, Any]) -> None:
        self._schema = served_schema()
        self._variables = variables
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }

    def of(self, operation: OperationDefinitionNode) -> float:
        root = self._schema.get_root_type(operation.operation)
        assert root is not None
        cost = self._selections(operation.selection_set, root)
        if operation.operation is OperationType.MUTATION:
            fields = [node for node in operation.selection_set.selections if isinstance(node, FieldNode)]
            # A payload is no object of its own.
            cost += (MUTATION_COST - 1) * len(fields)
        return cost

    def _selections(self, selections: SelectionSetNode | None, parent: Any) -> float:
        if selections is None:
            return 0.0
        common = 0.0
        by_type: dict[str, float] = {}
        for node in selections.selections:
            if isinstance(node, FieldNode):
                common += self._field(node, parent)
                continue
            fragment: InlineFragmentNode | FragmentDefinitionNode
            if isinstance(node, FragmentSpreadNode):
                fragment = self._fragments[node.name.value]
            else:
                assert isinstance(node, InlineFragmentNode)
                fragment = node
            condition = fragment.type_condition
            name = parent.name if condition is None else condition.name.value
            inner = self._selections(fragment.selection_set, self._schema.type_map[name])
            if isinstance(parent, GraphQLInterfaceType | GraphQLUnionType) and name != parent.name:
                by_type[name] = by_type.get(name, 0.0) + inner
            else:
                common += inner
        return common + max(by_type.values(), default=0.0)

    def _field(self, node: FieldNode, parent: Any) -> float:
        field = parent.fields.get(node.name.value) if hasattr(parent, "fields") else None
        if field is None:
            return 0.0
        kind = get_named_type(field.type)
        if not isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType):
            return 0.0
        inner = self._selections(node.selection_set, kind)
        if kind.name.endswith("Connection"):
            return self._size(node) * inner
        if kind.name == "PageInfo":
            return 0.0
        if _is_list(field.type):
            many = 1 if parent.name.endswith("Connection") else self._size(node)
            return many * (1 + inner)
        return 1 + inner

    def _size(self, node: FieldNode) -> int:
        for argument in node.arguments or ():
            value = value_from_ast_untyped(argument.value, dict(self._variables))
            if argument.name.value in ("first", "last") and isinstance(value, int):
                return max(0, value)
            if argument.name.value == "ids" and isinstance(value, list):
                return len(value)
        return 1


def _is_list(kind: GraphQLOutputType) -> bool:
    return is_list_type(kind.of_type if isinstance(kind, GraphQLNonNull) else kind)


def actual_cost(data: Any, mutations: int) -> float:
    """What was really found: every object of the answer, pages and connections aside."""
    return mutations * (MUTATION_COST - 1) + _objects(data) - 1 if data else float(mutations) * MUTATION_COST


def _objects(value: Any) -> float:
    if isinstance(value, list):
        return sum(_objects(row) for row in value)
    if not isinstance(value, dict):
        return 0.0
    wrapper = "pageInfo" in value or "hasNextPage" in value
    return (0.0 if wrapper else 1.0) + sum(_objects(row) for row in value.values())
