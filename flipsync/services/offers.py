"""What a channel should show for our goods: the offer of a variant, its product as one listing with choices. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flipsync.domain.channel import ListingText, Offer, OfferGroup
from flipsync.domain.money import Money
from flipsync.store.models import Product, Variant


def title_of(variant: Variant, product: Product) -> str:
    """The product's title and the variant's choices."""
    suffix = " / ".join(str(value) for value in variant.options.values())
    return (f"{product.title} – {suffix}" if suffix else product.title)[:500]


def with_fitted(offer: Offer, fitted: Mapping[str, Any]) -> Offer:
    """The offer with the owner's words as this channel takes them (`Listing.fitted`), where they are still his."""
    titles: Mapping[str, str] = fitted.get("titles", {})
    changes: dict[str, Any] = {"title": titles[offer.title]} if offer.title in titles else {}
    if specifics := fitted.get("specifics"):
        changes["attributes"] = {**specifics, **offer.attributes}
    if offer.group is not None and offer.group.title in titles:
        changes["group"] = offer.group.model_copy(update={"title": titles[offer.group.title]})
    return offer.model_copy(update=changes) if changes else offer


def with_overrides(offer: Offer, overrides: Mapping[str, Any]) -> Offer:
    """The offer with what was written on the channel by hand and is to stand (`Listing.overrides`)."""
    kept = {name: value for name, value in overrides.items() if name != "price_minor"}
    if not kept:
        return offer
    text = ListingText.model_validate(kept)
    words: dict[str, Any] = {
        name: value for name in ("title", "description_html", "images") if (value := getattr(text, name)) is not None
    }
    changes: dict[str, Any] = {"attributes": text.specifics} if text.specifics is not None else {}
    if text.of_group and offer.group is not None:
        changes["group"] = offer.group.model_copy(update=words)
        words.pop("title", None)
    return offer.model_copy(update={**words, **changes})


def group_of(product: Product, choices: Sequence[Mapping[str, Any]]) -> OfferGroup | None:
    """The product as one listing with choices; None when it comes in one form, or some form is not fully described.

    `choices` are the options of each of its variants, in the order they should be offered.
    """
    names = tuple(product.option_names[:3])
    if len(choices) < 2 or not names or any(set(each) != set(names) for each in choices):
        return None
    values = {name: tuple(dict.fromkeys(str(each[name]) for each in choices)) for name in names}
    return OfferGroup(
        key=str(product.id),
        title=product.title[:500],
        description_html=product.description_html,
        options=names,
        images=tuple(product.images[:12]),
        values=values,
    )


def offer_of(variant: Variant, product: Product, choices: Sequence[Mapping[str, Any]]) -> Offer | None:
    """What a channel should show for a variant. Quantity 0: the inventory agent decides how much it may sell.

    `choices` are the options of every variant of the product (see `group_of`).
    """
    if variant.price_minor is None:
        return None
    options = {str(name): str(value) for name, value in variant.options.items()}
    group = group_of(product, choices)
    images = ([variant.image] if variant.image else []) + [i for i in product.images if i != variant.image]
    return Offer(
        sku=variant.sku,
        title=title_of(variant, product),
        description_html=product.description_html,
        price=Money(amount_minor=variant.price_minor, currency=variant.currency),
        quantity=0,
        barcode=variant.barcode,
        brand=product.brand,
        category=product.category,
        images=tuple(images[:12]),
        weight_grams=variant.weight_grams,
        attributes=options,
        group=group,
        choices=tuple(options[name] for name in group.options) if group else (),
    )
