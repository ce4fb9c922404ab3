"""The tables of fees are whole, dated and sourced; an order's fees by them are those the vendors' pages work out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import usd
from flipsync.services.fees import FeeProfile, Sale, SoldItem, charge, default_profile, fee_types, predict, tariffs
from flipsync.services.fees.engine import predict_refund
from flipsync.services.fees.schedules import published_schedule
from flipsync.services.fees.tariff import BY_ORDER, rows_of
from flipsync.services.pricing.economics import UnitEconomics
from flipsync.services.pricing.fees import term_fee

NOW = datetime(2026, 5, 1, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 1, tzinfo=UTC)
CHANNELS = ("amazon", "ebay", "shopify", "woocommerce")


def sale(
    vendor: str, *items: SoldItem, flags: str = "", currency: str = "USD", at: datetime = NOW, **profile: object
) -> Sale:
    told = default_profile(vendor).model_copy(update=profile)
    return Sale(vendor, currency, at, items, told, frozenset(flags.split()))


def in_store(*items: SoldItem, currency: str = "USD") -> Sale:
    """Sold on eBay by a business with a store."""
    return Sale("ebay", currency, NOW, items, FeeProfile(plan="store", flags=frozenset({"store"})))


def test_at_least_forty_fee_types_of_channels_and_carriers_with_a_source_each() -> None:
    assert len(fee_types()) >= 40
    assert {row.vendor for row in tariffs()} >= {*CHANNELS, "usps", "ups", "fedex", "dhl"}
    assert all(len(row.source) > 10 and row.confidence for row in tariffs())
    assert all(row.since.tzinfo is not None and (row.until is None or row.until > row.since) for row in tariffs())
    wanted = {"referral", "closing", "per_order", "promoted_general", "fba_fulfilment", "international", "tax_on_fees"}
    assert wanted | {"refund_administration", "currency_conversion"} <= {kind for _, kind in fee_types()}


def test_rows_of_one_kind_and_scope_do_not_overlap_in_time() -> None:
    groups: dict[tuple[object, ...], list[tuple[datetime, datetime | None]]] = {}
    for row in tariffs():
        key = (row.vendor, row.country, row.kind, row.scope, row.when)
        groups.setdefault(key, []).append((row.since, row.until))
    for key, spans in groups.items():
        for (_, until), (since, _) in pairwise(sorted(spans, key=lambda span: span[0])):
            assert until is None or until <= since, key


@pytest.mark.parametrize(
    ("sold", "fees"),
    [
        (sale("amazon", SoldItem(goods=2_000, shipping=500, tax=200)), {"referral": 375}),
        (sale("amazon", SoldItem(goods=100)), {"referral": 30}),
        (sale("amazon", SoldItem(goods=300, units=3)), {"referral": 90}),
        (sale("amazon", SoldItem(goods=2_000, shipping=399, category="media")), {"referral": 300, "closing": 180}),
        (sale("amazon", SoldItem(goods=1_000, category="beauty and health")), {"referral": 80}),
        (sale("amazon", SoldItem(goods=1_001, category="beauty and health")), {"referral": 150}),
        (sale("amazon", SoldItem(goods=30_000, category="furniture")), {"referral": 4_000}),
        (sale("amazon", SoldItem(goods=40_000, category="jewelry")), {"referral": 5_750}),
        (sale("amazon", SoldItem(goods=1_999), flags="individual"), {"referral": 300, "per_item": 99}),
        (
            sale("amazon", SoldItem(goods=1_999, units=1, size="small standard 4 oz"), flags="fba"),
            {"referral": 300, "fba_fulfilment": 342, "fba_fuel_surcharge": 12},  # 3.5 % of 3.42
        ),
        (
            sale("amazon", SoldItem(goods=999, size="large standard 3 lb"), flags="fba"),
            {"referral": 150, "fba_fulfilment": 585, "fba_fuel_surcharge": 20},
        ),
        (
            sale("amazon", SoldItem(goods=10_002, units=2, size="large standard 3 lb"), flags="fba"),
            {"referral": 1_500, "fba_fulfilment": 1_386, "fba_fuel_surcharge": 48},  # each above 50 dollars
        ),
        (sale("amazon", SoldItem(goods=300, category="fine art")), {"referral": 100}),
        (sale("amazon", SoldItem(goods=60_000, category="lawn mowers")), {"referral": 4_800}),
        (sale("ebay", SoldItem(goods=2_500)), {"final_value": 340, "per_order": 40}),
        (sale("ebay", SoldItem(goods=900)), {"final_value": 122, "per_order": 30}),
        (
            sale("ebay", SoldItem(goods=800_000)),
            {"final_value": 103_175, "per_order": 40},  # 13.6 % of 7,500 and 2.35 % of 500
        ),
        (
            sale("ebay", SoldItem(goods=10_000), flags="international promoted", ad_rate_bps=500),
            {"final_value": 1_360, "per_order": 40, "international": 165, "promoted_general": 500},
        ),
        (sale("ebay", SoldItem(goods=600_000, category="jewelry")), {"final_value": 54_000, "per_order": 40}),
        (sale("ebay", SoldItem(goods=14_999, category="athletic shoes")), {"final_value": 2_040, "per_order": 40}),
        (sale("ebay", SoldItem(goods=15_000, category="athletic shoes")), {"final_value": 1_200, "per_order": 0}),
        (
            in_store(SoldItem(goods=10_000, category="books and media")),
            {"final_value": 1_530, "per_order": 40},
        ),
        (
            in_store(SoldItem(goods=10_000, category="video games")),
            {"final_value": 935, "per_order": 40},
        ),
        (
            sale("ebay", SoldItem(goods=10_000, category="video games"), flags="below_standard"),
            {"final_value": 1_360, "per_order": 40, "below_standard": 600},
        ),
        (
            sale("shopify", SoldItem(goods=10_000), flags="premium_card international", at=AUTUMN),
            {"payment_processing": 380, "international_card": 100},
        ),
        (
            sale("shopify", SoldItem(goods=10_000), flags="other_provider", at=AUTUMN),
            {"payment_processing": 320, "beside_another_provider": 125},
        ),
        (
            in_store(SoldItem(goods=60_000, category="home and garden"), currency="GBP"),
            {"final_value": 6_740, "per_order": 40, "regulatory_operating": 210},  # 11.9 % of 500, 7.9 % of 100
        ),
        (sale("shopify", SoldItem(goods=10_000, tax=800)), {"payment_processing": 343}),
        (
            sale("shopify", SoldItem(goods=10_000), flags="third_party"),
            {"payment_processing": 320, "third_party_transaction": 200},
        ),
        (
            sale("woocommerce", SoldItem(goods=10_000), flags="international"),
            {"card_processing": 320, "international_card": 150},
        ),
        (
            sale("ebay", SoldItem(goods=10_000), currency="GBP", flags="vat_on_fees"),
            {"final_value": 1_090, "per_order": 40, "regulatory_operating": 35, "tax_on_fees": 233},
        ),
    ],
)
def test_an_orders_fees_are_as_the_page_works_them_out(sold: Sale, fees: dict[str, int]) -> None:
    assert predict(sold).by_kind() == fees


def test_what_ebay_says_of_its_new_order_fee() -> None:
    """The seller update of winter 2024: a card for 25 dollars all in pays 3.71 instead of 3.61."""
    before, after = datetime(2024, 3, 14, tzinfo=UTC), datetime(2024, 3, 15, tzinfo=UTC)
    assert predict(sale("ebay", SoldItem(goods=2_500), at=before)).fee_total == 361
    assert predict(sale("ebay", SoldItem(goods=2_500), at=after)).fee_total == 371


def test_payouts_hold_the_tax_only_where_it_is_ours_to_pay() -> None:
    item = SoldItem(goods=10_000, shipping=500, tax=840)
    market, shop = predict(sale("ebay", item)), predict(sale("shopify", item))
    assert market.payout == market.net == 10_500 - market.fee_total
    assert shop.payout == shop.net + 840


@pytest.mark.parametrize(
    ("vendor", "back"),
    [
        ("amazon", {"referral": -1_500, "refund_administration": 300}),
        ("ebay", {"final_value": -1_360}),  # the fee of the order stays
        ("shopify", {}),
        ("woocommerce", {}),
    ],
)
def test_a_refund_gives_back_what_the_vendor_gives_back(vendor: str, back: dict[str, int]) -> None:
    refund = predict_refund(predict(sale(vendor, SoldItem(goods=10_000))), 10_000)
    assert {fee.kind: fee.amount for fee in refund.fees} == back
    assert refund.payout == -10_000 - sum(back.values())


def test_the_administration_fee_is_five_dollars_at_most_and_half_of_it_for_half() -> None:
    dear = predict(sale("amazon", SoldItem(goods=50_000)))
    assert {fee.kind: fee.amount for fee in predict_refund(dear, 50_000).fees}["refund_administration"] == 500
    half = predict(sale("amazon", SoldItem(goods=10_000)))
    assert {fee.kind: fee.amount for fee in predict_refund(half, 5_000).fees} == {
        "referral": -750,
        "refund_administration": 150,
    }
    with pytest.raises(InvalidInput):
        predict_refund(half, 10_001)


def test_media_pay_no_administration_fee_and_get_the_closing_fee_back_with_all_of_the_price() -> None:
    """sellercentral.amazon.com, refund administration fee: none for media; below 100 % the closing fee is kept."""
    book = predict(sale("amazon", SoldItem(goods=2_000, category="media")))
    assert {fee.kind: fee.amount for fee in predict_refund(book, 2_000).fees if fee.amount} == {
        "referral": -300,
        "closing": -180,
    }
    assert {fee.kind: fee.amount for fee in predict_refund(book, 1_000).fees if fee.amount} == {"referral": -150}


def test_what_the_vendors_page_works_out_for_two_items() -> None:
    """sellercentral.amazon.nl: 345 euros are capped at 5, 57 euros pay 1.71."""
    order = predict(
        sale(
            "amazon",
            SoldItem(goods=30_000, shipping=4_500),
            SoldItem(goods=5_000, shipping=700),
            currency="EUR",
        )
    )
    charged = [fee.amount for fee in predict_refund(order, 40_200).fees if fee.kind == "refund_administration"]
    assert charged == [500, 171]


def test_the_limit_is_for_a_line_in_europe_and_for_a_unit_in_america() -> None:
    for currency, most in (("USD", 1_000), ("EUR", 500)):
        two = predict(sale("amazon", SoldItem(goods=60_000, units=2), currency=currency))
        fees = predict_refund(two, 60_000, units={0: 2}).fees
        assert [fee.amount for fee in fees if fee.kind == "refund_administration"] == [most]


def test_what_is_not_known_is_not_free() -> None:
    with pytest.raises(InvalidInput, match="not known"):
        predict(sale("amazon", SoldItem(goods=1_000), currency="JPY"))
    with pytest.raises(InvalidInput, match="not known"):
        predict(sale("amazon", SoldItem(goods=1_000), at=datetime(2001, 1, 1, tzinfo=UTC)))
    with pytest.raises(InvalidInput, match="fba_fulfilment"):
        predict(sale("amazon", SoldItem(goods=1_000), flags="fba"))
    assert published_schedule("amazon", "USD", FeeProfile(flags=frozenset({"fba"}))) is None
    assert published_schedule("custom", "USD") is None


@pytest.mark.parametrize(
    ("vendor", "kind", "more", "amount"),
    [
        ("ebay", "payment_dispute", {}, "20.00"),
        ("ebay", "reserve_price", {"base": usd("50.00")}, "5.00"),
        ("ebay", "reserve_price", {"base": usd("1000.00")}, "75.00"),
        ("ebay", "listing_bold", {"scope": "fixed price"}, "4.00"),
        ("ebay", "listing_subtitle", {"scope": "fixed price", "base": usd("150.00")}, "2.00"),
        ("ebay", "listing_subtitle", {"scope": "auction", "base": usd("150.01")}, "3.00"),
        ("dhl", "duty_disbursement", {"base": usd("100.00")}, "17.00"),
        ("dhl", "duty_disbursement", {"base": usd("2000.00")}, "40.00"),
        ("ebay", "store_subscription", {"scope": "premium"}, "74.95"),
        ("amazon", "fba_storage_standard", {"scope": "oct-dec", "count": 10}, "24.00"),
        ("amazon", "high_volume_listing", {"count": 1_001}, "5.01"),
        ("woocommerce", "paypal_instant_transfer", {"base": usd("2000.00")}, "15.00"),
        ("usps", "nonstandard_length", {"scope": "22 to 30 inches"}, "4.00"),
        ("ups", "fuel_surcharge", {"scope": "ground", "base": usd("10.00")}, "2.05"),
    ],
)
def test_what_is_charged_beside_orders(vendor: str, kind: str, more: dict[str, object], amount: str) -> None:
    told, row = charge(vendor, "US", kind, NOW, **more)  # type: ignore[arg-type]
    assert told == usd(amount) and row.kind == kind


@pytest.mark.parametrize(
    ("vendor", "country", "kind", "day", "before", "after"),
    [
        ("amazon", "US", "fba_removal", datetime(2026, 1, 15, tzinfo=UTC), "1.04", "0.84"),
        ("ebay", "US", "currency_conversion", datetime(2026, 10, 14, tzinfo=UTC), "3.00", "3.25"),
        ("woocommerce", "US", "paypal_instant_transfer", datetime(2026, 9, 1, tzinfo=UTC), "1.50", "1.50"),
        ("amazon", "US", "high_volume_listing", datetime(2026, 9, 8, tzinfo=UTC), "0.50", "0.10"),
    ],
)
def test_a_changed_fee_holds_from_its_day_on(
    vendor: str, country: str, kind: str, day: datetime, before: str, after: str
) -> None:
    count = 100 if kind == "high_volume_listing" else 1
    for at, amount in ((day - timedelta(seconds=1), before), (day, after)):
        assert charge(vendor, country, kind, at, base=usd("100.00"), count=count)[0] == usd(amount)


def test_sellers_below_standard_for_months_pay_more_than_those_who_just_fell() -> None:
    for flags, amount in (("below_standard", 600), ("below_standard four_months", 700)):
        fees = predict(sale("ebay", SoldItem(goods=10_000), flags=flags, at=AUTUMN)).by_kind()
        assert fees["below_standard"] == amount


@pytest.mark.parametrize("months", ["", "four_months"])
def test_of_two_surcharges_ebay_takes_that_of_sellers_below_standard_alone(months: str) -> None:
    def charged(flags: str) -> dict[str, int]:
        return predict(sale("ebay", SoldItem(goods=10_000), flags=f"{flags} {months}", at=AUTUMN)).by_kind()

    assert charged("not_as_described")["not_as_described"] > 0
    both = charged("not_as_described below_standard")
    assert (both["not_as_described"], both["below_standard"]) == (0, charged("below_standard")["below_standard"])


def test_few_rows_rest_on_memory_alone() -> None:
    """A row is recalled only where no page was found; a new one must name what was read."""
    assert {(row.vendor, row.country, row.kind) for row in tariffs() if row.confidence == "recalled"} <= {
        ("amazon", "DE", "closing"),
        ("ebay", "GB", "final_value"),
        ("ebay", "GB", "international"),
    }


def test_a_surcharge_out_of_its_season_is_not_known() -> None:
    with pytest.raises(InvalidInput):
        charge("ups", "US", "demand_surcharge", NOW)


# --- the price floor rests on the same tables -----------------------------------------------------------------------


def _profiles() -> list[tuple[str, FeeProfile]]:
    found = []
    for vendor in CHANNELS:
        usual = default_profile(vendor)
        scopes = {row.scope for row in rows_of(vendor, "US") if row.per in BY_ORDER} - {"", "basic", "most"}
        for category in sorted(scopes | {"most"}):
            for extra in ((), ("international",), ("promoted", "international"), ("below_standard",)):
                flags = usual.flags | frozenset(extra)
                found.append(
                    (vendor, usual.model_copy(update={"category": category, "flags": flags, "ad_rate_bps": 700}))
                )
    return found


#: whose rate of all of the price, or order fee, is lower for dear goods
FALL = {("amazon", "lawn mowers"), *(("ebay", dear) for dear in ("jewelry", "handbags", "athletic shoes", "bullion"))}


@given(st.sampled_from(_profiles()), st.integers(1, 900_000), st.integers(0, 2_000), st.integers(0, 90_000))
@settings(max_examples=400, deadline=None)
def test_the_floors_schedule_never_takes_less_than_the_order_will(
    told: tuple[str, FeeProfile], goods: int, shipping: int, tax: int
) -> None:
    vendor, profile = told
    schedule = published_schedule(vendor, "USD", profile)
    assert schedule is not None
    item = SoldItem(goods=goods, shipping=shipping, tax=tax)
    by_order = predict(Sale(vendor, "USD", NOW, (item,), profile)).fee_total
    by_floor = sum(term_fee(term, goods, shipping, tax) for term in schedule.terms(NOW))
    assert by_floor >= by_order
    if (vendor, profile.category) not in FALL:
        assert by_floor == by_order


@pytest.mark.parametrize("vendor", ["amazon", "ebay"])
def test_taxed_fees_make_the_floor_dearer_than_the_order(vendor: str) -> None:
    usual = default_profile(vendor)
    profile = usual.model_copy(update={"country": "GB", "flags": usual.flags | {"vat_on_fees"}})
    schedule = published_schedule(vendor, "GBP", profile)
    assert schedule is not None
    for goods in (99, 1_000, 2_345, 100_000):
        order = predict(Sale(vendor, "GBP", NOW, (SoldItem(goods=goods),), profile)).fee_total
        floor = sum(term_fee(term, goods, 0, 0) for term in schedule.terms(NOW))
        assert order <= floor <= order + 8


@given(st.sampled_from(_profiles()), st.integers(100, 300_000))
@settings(max_examples=100, deadline=None)
def test_the_floor_price_pays_for_every_fee_of_the_tables(told: tuple[str, FeeProfile], cost: int) -> None:
    vendor, profile = told
    schedule = published_schedule(vendor, "USD", profile)
    assert schedule is not None
    floor = UnitEconomics(schedule.terms(NOW), cost, 400, min_margin=100).floor_price()
    assert floor is not None
    sold = predict(Sale(vendor, "USD", NOW, (SoldItem(goods=floor),), profile))
    assert sold.net - cost - 400 >= 100
