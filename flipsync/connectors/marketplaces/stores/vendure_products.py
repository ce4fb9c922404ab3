"""Vendure's products: what its variants hang on, with the option groups that hold a group's choices."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Protocol

from flipsync.connectors.marketplaces.store import Row
from flipsync.connectors.marketplaces.stores import vendure_documents as documents
from flipsync.domain.channel import Offer, OfferGroup


class GraphQL(Protocol):
    async def __call__(self, document: str, variables: Row | None = None, *, writes: bool = False) -> Row: ...


class VendureProducts:
    """Products of one shop, made once: what was made for an offer or a group is found again by its slug."""

    def __init__(self, graphql: GraphQL) -> None:
        self._graphql = graphql

    async def holding(self, offer: Offer, language: str) -> Row:
        """The product a new variant of this offer belongs to, its name and its options: input of the variant."""
        product = await self._found(offer) or await self._made(offer, language)
        if not product["enabled"]:
            await self.show(product["id"], True)
        found: Row = {
            "productId": product["id"],
            "translations": [{"languageCode": language, "name": offer.title}],
        }
        if offer.group is not None:
            found["optionIds"] = await self._options(product, offer.group, offer.choices, language)
        return found

    async def described(self, row: Row, offer: Offer, language: str) -> Row:
        """Writes what the product says, and returns the changes of its variant."""
        group = offer.group
        alone = group is None and not row["options"]
        if group is not None or alone:
            name, text = (group.title, group.description_html) if group else (offer.title, offer.description_html)
            words = {"languageCode": language, "name": name, **({"description": text} if text else {})}
            await self._write(documents.UPDATE_PRODUCT, {"id": row["product"]["id"], "translations": [words]})
        changes: Row = {"translations": [{"languageCode": language, "name": offer.title}]}
        if group is not None and row["options"]:
            whole = (await self._graphql(documents.PRODUCT_BY_ID, {"id": row["product"]["id"]}))["product"]
            options = await self._options(whole, group, offer.choices, language)
            if set(options) != {each["id"] for each in row["options"]}:
                changes["optionIds"] = options
        return changes

    async def show(self, product_id: str, on_sale: bool) -> None:
        await self._write(documents.UPDATE_PRODUCT, {"id": product_id, "enabled": on_sale})

    async def hide_if_empty(self, product_id: str) -> None:
        product = (await self._graphql(documents.PRODUCT_BY_ID, {"id": product_id}))["product"]
        if product is not None and product["enabled"] and not any(each["enabled"] for each in product["variants"]):
            await self.show(product_id, False)

    async def drop_if_empty(self, product_id: str) -> None:
        """Take a product back that was made for nothing."""
        product = (await self._graphql(documents.PRODUCT_BY_ID, {"id": product_id}))["product"]
        if product is not None and not product["variants"]:
            await self._graphql(documents.DELETE_PRODUCT, {"id": product_id}, writes=True)

    async def _write(self, document: str, input_: Row) -> Row:
        return await self._graphql(document, {"input": input_}, writes=True)

    async def _found(self, offer: Offer) -> Row | None:
        """Ours by its slug; for a group also the merchant's own, when one has its name and its options."""
        product: Row | None = (await self._graphql(documents.PRODUCT_BY_SLUG, {"slug": _slug(offer)}))["product"]
        group = offer.group
        if product is not None and (group is not None or not product["variants"]):
            return product
        if group is None:
            return None
        rows = (await self._graphql(documents.PRODUCTS_BY_NAME, {"name": group.title}))["products"]["items"]
        wanted = {name.casefold() for name in group.options}
        alike = [row for row in rows if {each["name"].casefold() for each in row["optionGroups"]} == wanted]
        return alike[0] if len(alike) == 1 else None

    async def _made(self, offer: Offer, language: str) -> Row:
        group = offer.group
        name, text = (group.title, group.description_html) if group else (offer.title, offer.description_html)
        words = {"languageCode": language, "name": name, "slug": _slug(offer), "description": text}
        made: Row = (await self._write(documents.CREATE_PRODUCT, {"enabled": True, "translations": [words]}))["made"]
        return made

    async def _options(self, product: Row, group: OfferGroup, choices: tuple[str, ...], language: str) -> list[str]:
        """Ids of the choices; option groups and options that the product lacks are made."""
        found = []
        for name, choice in zip(group.options, choices, strict=True):
            known = next((each for each in product["optionGroups"] if _same(each["name"], name)), None)
            if known is None:
                values = list(dict.fromkeys([*group.values.get(name, ()), choice]))
                input_ = {**_named(f"{group.key}-{name}", name, language), "options": []}
                input_["options"] = [_named(value, value, language) for value in values]
                known = (await self._write(documents.CREATE_GROUP, input_))["made"]
                ids = {"product": product["id"], "group": known["id"]}
                await self._graphql(documents.ADD_GROUP, ids, writes=True)
            option = next((each for each in known["options"] if _same(each["name"], choice)), None)
            if option is None:
                input_ = {"productOptionGroupId": known["id"], **_named(choice, choice, language)}
                option = (await self._write(documents.CREATE_OPTION, input_))["made"]
            found.append(str(option["id"]))
        return found


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _code(text: str) -> str:
    """A code or slug with a mark of the whole text: different texts never share one."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]
    return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}".lstrip("-")


def _slug(offer: Offer) -> str:
    return _code(f"group {offer.group.key}" if offer.group else offer.sku)


def _named(code: str, name: str, language: str) -> dict[str, Any]:
    return {"code": _code(code), "translations": [{"languageCode": language, "name": name}]}
