"""Categories, tags and brands: /products/categories, /products/tags, /products/brands."""

from __future__ import annotations

from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.woocommerce import wire
from flipsync.sandbox.woocommerce.shop import Row, Shop

DEFAULT_CATEGORY = "Uncategorized"
_ORDERINGS = {"name": "name", "id": "id", "slug": "slug", "include": "id", "count": "id", "date": "id"}


class Terms:
    """The taxonomies products are filed under."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.db = shop.books.db
        if not self.default_ids():
            self._insert("categories", DEFAULT_CATEGORY, "uncategorized", 0)

    def default_ids(self) -> list[int]:
        row = self.db.execute("SELECT id FROM term WHERE taxonomy='categories' AND slug='uncategorized'").fetchone()
        return [int(row[0])] if row else []

    def _insert(self, taxonomy: str, name: str, slug: str, parent: int) -> int:
        term_id = self.shop.books.next_id()
        self.db.execute("INSERT INTO term VALUES (?,?,?,?,?)", (term_id, taxonomy, name, slug, parent))
        return term_id

    def known_ids(self, taxonomy: str, rows: list[Row]) -> list[int]:
        """Ids that exist; unknown ones are dropped without a word, as the shop does."""
        ids = [int(row["id"]) for row in rows if str(row.get("id", "")).isdigit()]
        return [term["id"] for term in self.shown(taxonomy, ids)]

    def shown(self, taxonomy: str, ids: list[int]) -> list[Row]:
        marks = ",".join("?" * len(ids))
        query = f"SELECT id, name, slug FROM term WHERE taxonomy = ? AND id IN ({marks}) ORDER BY id"  # noqa: S608
        return (
            [{"id": r[0], "name": r[1], "slug": r[2]} for r in self.db.execute(query, (taxonomy, *ids))] if ids else []
        )

    def _view(self, taxonomy: str, row: tuple[int, str, str, int]) -> Row:
        count = self.db.execute(
            "SELECT count(*) FROM listing, json_each(listing.doc, '$.' || ?)"
            " WHERE channel = 'woo' AND json_each.value = ?",
            (taxonomy, row[0]),
        ).fetchone()[0]
        view: Row = {"id": row[0], "name": row[1], "slug": row[2], "description": "", "count": count}
        if taxonomy == "categories":
            view |= {"parent": row[3], "display": "default", "image": [], "menu_order": 0}
        return view | {"_links": self.shop.links(f"products/{taxonomy}", row[0])}

    def collection(self, call: Call, taxonomy: str) -> Answer:
        page = wire.page_of(call)
        where, params = "taxonomy = ?", [taxonomy]
        search, slug = call.first("search"), call.first("slug")
        if search:
            where += " AND name LIKE '%' || ? || '%'"
            params.append(search)  # as it was sent, although names are kept with their entities
        if slug:
            where += " AND slug = ?"
            params.append(slug)
        total = self.db.execute(f"SELECT count(*) FROM term WHERE {where}", params).fetchone()[0]  # noqa: S608
        by = _ORDERINGS.get(call.first("orderby") or "name", "name")
        rows = self.db.execute(
            f"SELECT id, name, slug, parent FROM term WHERE {where} ORDER BY {by} LIMIT ? OFFSET ?",  # noqa: S608
            (*params, page.size, page.offset),
        ).fetchall()
        return wire.list_answer(call, [self._view(taxonomy, row) for row in rows], int(total), page)

    def post(self, call: Call, body: Row, taxonomy: str) -> Answer:
        name = wire.filtered(wire.typed(body, "name", "string")) if "name" in body else ""
        if not name:
            raise wire.refusal(400, "rest_missing_callback_param", "Missing parameter(s): name", {"params": ["name"]})
        slug = str(body.get("slug") or wire.slug_of(name))
        known = self.db.execute("SELECT id FROM term WHERE taxonomy = ? AND slug = ?", (taxonomy, slug)).fetchone()
        if known:
            message = "A term with the name provided already exists with this parent."
            raise wire.refusal(400, "term_exists", message, {"resource_id": known[0]})
        parent = int(body.get("parent") or 0)
        term_id = self._insert(taxonomy, name, slug, parent)
        return wire.json_answer(self._view(taxonomy, (term_id, name, slug, parent)), 201)

    def get(self, call: Call, taxonomy: str, term_id: int) -> Answer:
        row = self.db.execute(
            "SELECT id, name, slug, parent FROM term WHERE taxonomy = ? AND id = ?", (taxonomy, term_id)
        ).fetchone()
        if row is None:
            raise wire.refusal(404, "woocommerce_rest_term_invalid", "Resource does not exist.")
        return wire.json_answer(self._view(taxonomy, row))
