"""What the shop says about itself: the API index, general settings, system status, currencies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flipsync.domain.money import minor_digits
from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.woocommerce import wire
from flipsync.sandbox.woocommerce.shop import Row, Shop

WOOCOMMERCE_VERSION = "11.0.1"
WORDPRESS_VERSION = "7.1"
WEIGHT_UNIT = "kg"
_SYMBOLS = {"USD": "&#36;", "EUR": "&euro;", "GBP": "&pound;", "JPY": "&yen;"}
_NAMES = {"USD": "United States (US) dollar", "EUR": "Euro", "GBP": "Pound sterling", "JPY": "Japanese yen"}


class About:
    """Read-only facts of the shop."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def index(self, call: Call) -> Answer:
        """The WordPress API index: needs no key and tells the store's time zone."""
        offset = self.shop.books.clock.now().astimezone(self.shop.zone).utcoffset() or timedelta(0)
        return wire.json_answer(
            {
                "name": "Sandbox shop",
                "description": "",
                "url": self.shop.url,
                "home": self.shop.url,
                "gmt_offset": str(wire.php_number(offset.total_seconds() / 3600)),
                "timezone_string": self.shop.zone.key,
                "namespaces": ["oembed/1.0", "wc/v1", "wc/v2", "wc/v3", "wp/v2"],
                "authentication": {},
                "routes": {},
            }
        )

    def namespace(self, call: Call) -> Answer:
        return wire.json_answer({"namespace": "wc/v3", "routes": {}})

    def settings(self, call: Call, group: str) -> Answer:
        return wire.json_answer(self._settings(group))

    def setting(self, call: Call, group: str, setting_id: str) -> Answer:
        found = next((row for row in self._settings(group) if row["id"] == setting_id), None)
        if found is None:
            raise wire.refusal(404, "rest_setting_setting_invalid", "Invalid setting.")
        return wire.json_answer({**found, "group_id": group})

    def _settings(self, group: str) -> list[Row]:
        if group == "products":
            units = (
                ("woocommerce_weight_unit", "Weight unit", "select", "kg", WEIGHT_UNIT),
                ("woocommerce_dimension_unit", "Dimensions unit", "select", "cm", "cm"),
                ("woocommerce_manage_stock", "Manage stock", "checkbox", "yes", "yes"),
            )
            return [self._setting(group, *row) for row in units]
        digits = str(minor_digits(self.shop.currency))
        rows = (
            ("woocommerce_store_address", "Address line 1", "text", "", "1 Market Street"),
            ("woocommerce_store_city", "City", "text", "", "New York"),
            ("woocommerce_default_country", "Country / State", "select", "US:CA", "US:NY"),
            ("woocommerce_store_postcode", "Postcode / ZIP", "text", "", "10001"),
            ("woocommerce_calc_taxes", "Enable taxes", "checkbox", "no", "no"),
            ("woocommerce_currency", "Currency", "select", "USD", self.shop.currency),
            ("woocommerce_currency_pos", "Currency position", "select", "left", "left"),
            ("woocommerce_price_thousand_sep", "Thousand separator", "text", ",", ","),
            ("woocommerce_price_decimal_sep", "Decimal separator", "text", ".", "."),
            ("woocommerce_price_num_decimals", "Number of decimals", "number", "2", digits),
        )
        return [self._setting("general", *row) for row in rows]

    def _setting(self, group: str, setting_id: str, label: str, kind: str, default: str, value: str) -> Row:
        base = f"{self.shop.url}/wp-json/wc/v3/settings/{group}"
        row: Row = {
            "id": setting_id,
            "label": label,
            "description": "",
            "type": kind,
            "default": default,
            "tip": "",
            "value": value,
            "_links": {"self": [{"href": f"{base}/{setting_id}"}], "collection": [{"href": base}]},
        }
        if kind == "select":
            row["options"] = {value: value}
        return row

    def currency(self, call: Call) -> Answer:
        return wire.json_answer(self._currency())

    def currencies(self, call: Call) -> Answer:
        return wire.json_answer([self._currency()])

    def _currency(self) -> dict[str, Any]:
        code = self.shop.currency
        base = f"{self.shop.url}/wp-json/wc/v3/data/currencies"
        return {
            "code": code,
            "name": _NAMES.get(code, code),
            "symbol": _SYMBOLS.get(code, code),
            "_links": {"self": [{"href": f"{base}/{code}"}], "collection": [{"href": base}]},
        }

    def system_status(self, call: Call) -> Answer:
        code = self.shop.currency
        return wire.json_answer(
            {
                "environment": {
                    "home_url": self.shop.url,
                    "site_url": self.shop.url,
                    "version": WOOCOMMERCE_VERSION,
                    "wp_version": WORDPRESS_VERSION,
                    "wp_multisite": False,
                    "wp_cron": True,
                    "language": "en_US",
                    "default_timezone": "UTC",
                },
                "database": {"wc_database_version": WOOCOMMERCE_VERSION, "database_prefix": "wp_"},
                "active_plugins": [
                    {
                        "plugin": "woocommerce/woocommerce.php",
                        "name": "WooCommerce",
                        "version": WOOCOMMERCE_VERSION,
                        "network_activated": False,
                    }
                ],
                "settings": {
                    "api_enabled": True,
                    "force_ssl": call.scheme == "https",
                    "currency": code,
                    "currency_symbol": _SYMBOLS.get(code, code),
                    "currency_position": "left",
                    "thousand_separator": ",",
                    "decimal_separator": ".",
                    "number_of_decimals": minor_digits(code),
                    "geolocation_enabled": False,
                    "taxonomies": {"simple": "simple"},
                },
                "security": {"secure_connection": call.scheme == "https", "hide_errors": True},
                "pages": [],
            }
        )
