"""Translation of groups: a variable product's attributes and its variations' choices. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

from flipsync.connectors.marketplaces.woocommerce import mapping, wire
from flipsync.domain.channel import Offer, OfferGroup

GROUP_META = "_flipsync_group"
TEXT_META = "_flipsync_group_text"


def _same(one: str, other: str) -> bool:
    """Attribute names and terms differ only by more than case and space: WooCommerce makes slugs of them."""
    return one.strip().casefold() == other.strip().casefold()


def _text_mark(group: OfferGroup) -> str:
    """Changes when the group's own text or images do; WooCommerce shows a description with its own paragraphs."""
    return hashlib.sha256(repr((group.title, group.description_html, group.images)).encode()).hexdigest()[:16]


def is_parent_of(row: wire.Product, group: OfferGroup) -> bool:
    """Whether a variable product that was not made by us is this group's: same name, same options."""
    options = {attribute.name.strip().casefold() for attribute in row.attributes if attribute.variation}
    known_as = wire.meta_value(row.meta_data, GROUP_META)
    return (
        row.type == "variable"
        and _same(row.name, group.title)
        and options == {name.strip().casefold() for name in group.options}
        and known_as in ("", group.key)
    )


def has_choices(row: wire.Variation, group: OfferGroup, choices: tuple[str, ...]) -> bool:
    """Whether a variation is the one with these choices; one for "any" of an option is not."""
    own = {choice.name.strip().casefold(): choice.option for choice in row.attributes}
    wanted = zip(group.options, choices, strict=False)
    return all(_same(own.get(name.strip().casefold(), ""), choice) for name, choice in wanted)


def _options(group: OfferGroup, chosen: tuple[str, ...]) -> dict[str, list[str]]:
    """Every choice of each option, in the group's order; the offer's own among them."""
    found = {name: list(group.values.get(name, ())) for name in group.options}
    for name, choice in zip(group.options, chosen, strict=False):
        if choice not in found[name]:
            found[name].append(choice)
    return found


def parent_body(
    offer: Offer, group: OfferGroup, sku: str, key: str, *, weight_unit: str | None, category_id: int | None
) -> dict[str, Any]:
    """A new parent. What the first offer says beside the options (brand, material) is said of all of them."""
    details = dict(offer.attributes)
    if offer.brand:
        details.setdefault("Brand", offer.brand)
    names = {name.strip().casefold() for name in group.options}
    attributes = [
        {"name": name, "position": place, "visible": True, "variation": True, "options": values}
        for place, (name, values) in enumerate(_options(group, offer.choices).items())
    ]
    attributes += [
        {"name": name, "position": place, "visible": True, "variation": False, "options": [value]}
        for place, (name, value) in enumerate(details.items(), len(attributes))
        if name.strip().casefold() not in names
    ]
    images = group.images or offer.images
    meta = {
        mapping.KEY_META: key,
        mapping.IMAGES_META: mapping.image_sources(images),
        mapping.ENDED_META: "",
        GROUP_META: group.key,
        TEXT_META: _text_mark(group),
    }
    body: dict[str, Any] = {
        "name": mapping.markup_free(group.title),
        "description": group.description_html,
        "type": "variable",
        "status": "publish",
        "sku": sku,
        "attributes": attributes,
        "images": [{"src": source} for source in images],
        "meta_data": mapping.meta_rows(meta),
    }
    if category_id is not None:
        body["categories"] = [{"id": category_id}]
    return body


def merged_attributes(
    parent: wire.Product, group: OfferGroup, chosen: tuple[str, ...] = ()
) -> list[dict[str, Any]] | None:
    """The parent's attributes with every choice of the group; None when it has them all. A write replaces the list."""
    rows = [attribute.model_dump() for attribute in parent.attributes]
    changed = False
    for name, values in _options(group, chosen).items():
        row = next((row for row in rows if _same(row["name"], name)), None)
        if row is None:
            row = {"id": 0, "name": name, "position": len(rows), "visible": True, "variation": True, "options": []}
            rows.append(row)
            changed = True
        missing = [value for value in values if not any(_same(value, known) for known in row["options"])]
        changed = changed or bool(missing) or not row["variation"]
        row |= {"options": [*row["options"], *missing], "variation": True}
    if not changed:
        return None
    return rows


def parent_changes(parent: wire.Product, group: OfferGroup, chosen: tuple[str, ...]) -> dict[str, Any]:
    """What a revision changes of the parent; {} when the shop shows what was sent last."""
    body: dict[str, Any] = {}
    attributes = merged_attributes(parent, group, chosen)
    if attributes is not None:
        body["attributes"] = attributes
    meta = {}
    if not _same(parent.name, group.title) or wire.meta_value(parent.meta_data, TEXT_META) != _text_mark(group):
        body["name"] = mapping.markup_free(group.title)
        if group.description_html:
            body["description"] = group.description_html
        meta[TEXT_META] = _text_mark(group)
    images = mapping.image_sources(group.images)
    shown = tuple(image.src for image in parent.images or ())
    if group.images and group.images != shown and wire.meta_value(parent.meta_data, mapping.IMAGES_META) != images:
        body["images"] = [{"src": source} for source in group.images]
        meta[mapping.IMAGES_META] = images
    if meta:
        body["meta_data"] = mapping.meta_rows(meta)
    return body


def _choices(parent: wire.Product, group: OfferGroup, choices: tuple[str, ...]) -> list[dict[str, Any]]:
    rows = []
    for name, choice in zip(group.options, choices, strict=False):
        known = next((row for row in parent.attributes if _same(row.name, name)), None)
        option = choice
        if known is not None:
            option = next((value for value in known.options if _same(value, choice)), choice)
        shop_wide = known is not None and known.id
        rows.append({"id": known.id, "option": option} if shop_wide and known else {"name": name, "option": option})
    return rows


def variation_body(
    offer: Offer, parent: wire.Product, *, weight_unit: str | None, category_id: int | None
) -> dict[str, Any]:
    """What a variation says itself; name, images and category are its parent's."""
    described = mapping.descriptive_body(offer, weight_unit=weight_unit, category_id=None)
    own = ("description", "global_unique_id", "weight")
    body: dict[str, Any] = {name: value for name, value in described.items() if name in own}
    if offer.group is not None:
        body["attributes"] = _choices(parent, offer.group, offer.choices)
    return body


def variation_creation_body(
    offer: Offer, parent: wire.Product, key: str, *, weight_unit: str | None, category_id: int | None
) -> dict[str, Any]:
    images = offer.images[:1]
    meta = {mapping.KEY_META: key, mapping.IMAGES_META: mapping.image_sources(images)}
    body = {
        **variation_body(offer, parent, weight_unit=weight_unit, category_id=category_id),
        **mapping.price_body(offer.price),
        **mapping.quantity_body(offer.quantity),
        "status": "publish",
        "sku": offer.sku,
        "meta_data": mapping.meta_rows(meta),
    }
    if images:
        body["image"] = {"src": images[0]}
    return body
