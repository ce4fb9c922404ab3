"""The business report as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from flipsync.domain.money import Money

_MIN_WIDTH = 60
_BLOCKED_SHOWN = 10


def report_lines(told: dict[str, Any], width: int) -> list[str]:
    """Lines of at most `width` columns from a report's JSON."""
    width = max(width, _MIN_WIDTH)
    lines = [*_orders(told["orders"])]
    for figures in [told["money"], *told["other_currencies"]]:
        lines += ["", *_money(figures)]
    lines += ["", *_prices(told["prices"])]
    lines += ["", *_decisions(told["decisions"]), "", *_effects(told["effects"])]
    lines += ["", *_blocked(told["blocked"])]
    lines += ["", *_attention(told), "", _stock(told["stock"])]
    return [part for line in lines for part in _wrap(line, width)]


def _orders(orders: dict[str, Any]) -> Iterator[str]:
    yield f"Orders: {orders['total']} ({orders['units']} units), {orders['earning']} of them earning"
    table = [
        (each["account"], each["vendor"], each["status"], each["state"], each["orders"], each["units"])
        for each in orders["by_channel"]
    ]
    yield from _table(("channel", "vendor", "status", "state", "orders", "units"), table)


def _money(figures: dict[str, Any]) -> Iterator[str]:
    def amount(name: str) -> str:
        return str(Money.model_validate(figures[name]))

    yield f"Money in {figures['currency']}, {figures['orders']} orders, {figures['parcels']} parcels"
    signs = (
        ("goods", "", "goods sold"),
        ("shipping_charged", "+", "shipping charged"),
        ("refunds_before_tax", "-", "refunds before tax"),
        ("fees", "-", "fees"),
        ("cost_of_goods", "-", "landed cost of goods"),
        ("shipping_cost", "-", "shipping (estimate)"),
        ("profit", "=", "profit"),
    )
    yield from _table(("", "", ""), [(sign, words, amount(name)) for name, sign, words in signs])
    if figures["units_without_cost"]:
        yield f"  The cost of {figures['units_without_cost']} units is not known: the profit is overstated."
    if figures["orders_without_fees"]:
        yield f"  The fees of {figures['orders_without_fees']} orders are not known: the profit is overstated."


def _prices(prices: dict[str, Any]) -> Iterator[str]:
    yield (
        f"Prices: {prices['moves']} moves ({prices['up']} up, {prices['down']} down), {prices['first_prices']} first "
        f"prices, {prices['unchanged']} written again unchanged, {prices['floor_breaches']} below their floor"
    )
    for each in prices["reasons"]:
        yield f"  {each['moves']}× {each['agent']}: {each['example']}"
    for each in prices["breaches"]:
        price, floor = Money.model_validate(each["price"]), Money.model_validate(each["floor"])
        yield f"  BELOW ITS FLOOR: {each['listing']} at {price}, floor {floor}, {each['at']}"


def _decisions(decisions: dict[str, Any]) -> Iterator[str]:
    yield f"Decisions: {decisions['total']} by {decisions['agents']} agents"
    table = [
        (each["agent"], each["state"], each["decisions"], f"{each['mean_confidence']:.0%}")
        for each in decisions["by_agent"]
    ]
    yield from _table(("agent", "state", "decisions", "sure"), table)


def _effects(effects: dict[str, Any]) -> Iterator[str]:
    totals = ", ".join(f"{count} {state}" for state, count in effects["totals"].items())
    yield f"Effects: {totals}; {effects['attempts']} attempts"
    table = [
        (each["command"], each["state"], each["effects"], each["attempts"], each["most_attempts"])
        for each in effects["by_command"]
    ]
    yield from _table(("command", "state", "effects", "attempts", "most"), table)


def _blocked(blocked: Sequence[dict[str, Any]]) -> Iterator[str]:
    words = {"deny": "blocked", "ask": "put to the owner", "mutate": "changed"}
    if not blocked:
        yield "Blocked: nothing"
        return
    yield "Blocked or changed on the way out"
    for each in blocked[:_BLOCKED_SHOWN]:
        yield (
            f"  {each['proposals']}× {each['command']} {words[each['verdict']]} by {each['rule']}, "
            f"e.g. {each['example_subject']}: {each['example']}"
        )
    if len(blocked) > _BLOCKED_SHOWN:
        yield f"  … and {len(blocked) - _BLOCKED_SHOWN} more rules"


def _attention(told: dict[str, Any]) -> Iterator[str]:
    yield f"Waiting for the owner: {told['approvals_open']} questions"
    for each in told["approvals"]:
        yield f"  {each['agent']} asks: {each['question']}"
    if told["failed_tasks"]:
        yield "Set aside after failing every time"
        for each in told["failed_tasks"]:
            yield f"  {each['tasks']}× {each['agent']} on {each['event']}: {each['error']}"


def _stock(stock: dict[str, Any]) -> str:
    return (
        f"Stock: {stock['on_hand']} units on hand of {stock['items']} items, {stock['reserved']} reserved for buyers, "
        f"{stock['allocated']} promised to channels, {stock['free']} free, {stock['short']} oversold"
    )


def _table(head: Sequence[str], body: Sequence[Sequence[object]]) -> Iterator[str]:
    """Columns as wide as their longest cell; numbers and amounts to the right."""
    rows = [*([head] if any(head) else []), *([str(cell) for cell in row] for row in body)]
    if not body:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    right = [_is_number(body[0][column]) for column in range(len(head))]
    for row in rows:
        cells = [
            cell.rjust(size) if side else cell.ljust(size) for cell, size, side in zip(row, widths, right, strict=True)
        ]
        yield "  " + "  ".join(cells).rstrip()


def _is_number(cell: object) -> bool:
    return isinstance(cell, int) or str(cell)[:1].isdigit() or (str(cell)[:1] == "-" and len(str(cell)) > 1)


def _wrap(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line.strip(), width, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False
    )
