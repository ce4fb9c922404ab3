"""Listings made on eBay's own pages: told by the Feed API's report, unknown to the Inventory API until migrated."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any
from xml.sax.saxutils import escape

from flipsync.sandbox.clock import rfc3339
from flipsync.sandbox.ebay import bodies
from flipsync.sandbox.ebay.problems import encode, error, refuse
from flipsync.sandbox.ebay.settings import LOCATION, POLICIES
from flipsync.sandbox.ebay.shop import LIVE, Shop
from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.records import Listing

_REPORT = "LMS_ACTIVE_INVENTORY_REPORT"


class Elsewhere:
    """The resources inventory_task and bulk_migrate_listing, and what a seller listed by hand."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.books = shop.books

    def add(self, listing_id: str, sku: str, title: str, price_minor: int, quantity: int, problem: str = "") -> None:
        """The seller lists something by hand; eBay will not migrate it where it has a `problem`."""
        with self.books.transaction():
            row = {"sku": sku, "title": title, "price_minor": price_minor, "quantity": quantity, "problem": problem}
            self._save({**self._rows(), listing_id: row})

    def _rows(self) -> dict[str, dict[str, Any]]:
        return dict(json.loads(self.books.meta("ebay.elsewhere") or "{}"))

    def _save(self, rows: dict[str, dict[str, Any]]) -> None:
        self.books.set_meta("ebay.elsewhere", json.dumps(rows))

    # The report

    def order_report(self, call: Call) -> Answer:
        body = bodies.parse(call, bodies.InventoryTask)
        if body.feed_type != _REPORT:
            raise refuse(400, 160001, "The feed type is invalid.", "API_FEED")
        tasks = json.loads(self.books.meta("ebay.tasks") or "[]")
        tasks.append({"id": f"task-{len(tasks) + 1}-0", "at": self.books.clock.now_ms()})
        self.books.set_meta("ebay.tasks", json.dumps(tasks))
        return Answer(202, b"", {"Location": f"{call.origin}/sell/feed/v1/inventory_task/{tasks[-1]['id']}"})

    def _task(self, call: Call, row: dict[str, Any]) -> dict[str, Any]:
        return {
            "taskId": row["id"],
            "status": "COMPLETED",
            "feedType": _REPORT,
            "creationDate": rfc3339(row["at"]),
            "completionDate": rfc3339(row["at"]),
            "schemaVersion": "1.0",
            "detailHref": f"{call.origin}/sell/feed/v1/inventory_task/{row['id']}",
            "filterCriteria": {"listingFormat": "FIXED_PRICE"},
        }

    def tasks(self, call: Call) -> Answer:
        rows = json.loads(self.books.meta("ebay.tasks") or "[]")
        shown = [self._task(call, row) for row in rows]
        body = {"tasks": shown, "total": len(shown), "limit": 100, "offset": 0, "href": f"{call.origin}{call.path}"}
        return Answer(200, encode(body))

    def task(self, call: Call, task_id: str) -> Answer:
        for row in json.loads(self.books.meta("ebay.tasks") or "[]"):
            if row["id"] == task_id:
                return Answer(200, encode(self._task(call, row)))
        raise refuse(404, 160005, "The task was not found.", "API_FEED")

    def download(self, call: Call, task_id: str) -> Answer:
        self.task(call, task_id)
        live = self.books.listings("channel = 'ebay' AND status = ? ORDER BY id", (LIVE,))
        rows = [(row.doc["listing_id"], row.sku, row.price_minor or 0, row.quantity or 0) for row in live]
        rows += [(key, row["sku"], row["price_minor"], row["quantity"]) for key, row in self._rows().items()]
        details = "".join(
            f"<SKUDetails>{f'<SKU>{escape(sku)}</SKU>' if sku else ''}"
            f'<Price currencyID="{self.shop.currency}">{price / 100:.2f}</Price><Quantity>{quantity}</Quantity>'
            f"<ItemID>{listing_id}</ItemID></SKUDetails>"
            for listing_id, sku, price, quantity in rows
        )
        text = (
            '<?xml version="1.0" encoding="UTF-8"?><BulkDataExchangeResponses xmlns="urn:ebay:apis:eBLBaseComponents">'
            f"<ActiveInventoryReport><Ack>Success</Ack>{details}</ActiveInventoryReport></BulkDataExchangeResponses>"
        )
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{task_id}_report.xml", text)
        return Answer(200, packed.getvalue(), media_type="application/octet-stream")

    # Migration

    def migrate(self, call: Call) -> Answer:
        body = bodies.parse(call, bodies.BulkMigrate)
        responses = [self._migrate(row.listing_id) for row in body.requests]
        status = 200 if all(row["statusCode"] == 200 for row in responses) else 207
        return Answer(status, encode({"responses": responses}))

    def _migrate(self, listing_id: str) -> dict[str, Any]:
        rows = self._rows()
        row = rows.get(listing_id)
        problem = "It could not be found, or is migrated already." if row is None else row["problem"]
        if row is not None and not row["sku"]:
            problem = "The listing has no SKU."
        answer: dict[str, Any] = {
            "listingId": listing_id,
            "marketplaceId": self.shop.marketplace_id,
            "inventoryItems": [{"sku": row["sku"]}] if row is not None else [],
        }
        if row is None or problem:
            return {**answer, "statusCode": 400, "errors": [error(25718, f"Cannot migrate listing. {problem}")]}
        del rows[listing_id]
        self._save(rows)
        made = self._listing(listing_id, row)
        items = [{"sku": made.sku, "offerId": made.doc["offer_id"]}]
        return {**answer, "statusCode": 200, "inventoryItems": items}

    def _listing(self, listing_id: str, row: dict[str, Any]) -> Listing:
        now = self.books.clock.now_ms()
        product = {"title": row["title"], "description": row["title"], "imageUrls": ["https://i.ebayimg.com/1.jpg"]}
        policies = {f"{kind}PolicyId": policy for kind, policy in POLICIES.items()}
        offer = {
            "categoryId": "88433",
            "listingDescription": row["title"],
            "listingDuration": "GTC",
            "merchantLocationKey": LOCATION,
            "listingPolicies": policies,
            "pricingSummary": {"price": {"value": f"{row['price_minor'] / 100:.2f}", "currency": self.shop.currency}},
        }
        doc: dict[str, Any] = {
            "item": {"condition": "NEW", "product": product},
            "offer": offer,
            "offer_id": str(7_000_000_000 + self.books.next_id()),
            "listing_id": listing_id,
        }
        made = Listing(
            id=self.books.next_id(),
            channel="ebay",
            sku=row["sku"],
            title=row["title"],
            status=LIVE,
            price_minor=row["price_minor"],
            quantity=row["quantity"],
            stock_version=0,
            created_ms=now,
            modified_ms=now,
            doc=doc,
        )
        self.books.add_listing(made, "migrated")
        return made
