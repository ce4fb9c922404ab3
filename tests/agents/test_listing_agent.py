"""ListingAgent on real rows: what a listing lacks is mended, asked or told, once, and no hand edit is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import orjson
import pytest
from shop import Goods, Shop, open_store
from sqlalchemy import text

from agents import ROSTER
from agents.governance.compliance import ComplianceAgent
from agents.market.listing import ListingAgent
from flipsync.domain.channel import Vendor
from flipsync.domain.clock import ManualClock
from flipsync.domain.commands import PublishListing, ReviseListing
from flipsync.domain.decisions import Decision
from flipsync.domain.errors import NotFound
from flipsync.domain.events import (
    ChannelFaultFound,
    Event,
    ListingOutdated,
    ListingRefused,
    ListingRequested,
    ProductEdited,
)
from flipsync.domain.ids import new_id
from flipsync.domain.listing_care import (
    FitListing,
    ListingLacking,
    ListingsDue,
    NoteListingNeeds,
    OfferListingFix,
    OfferProductFacts,
    PlanListingWork,
)
from flipsync.domain.workflow_messages import WriteContent
from flipsync.runtime.agent import Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.services import grading, listing_care, product_edits, reading_quality
from flipsync.services.approvals import answer_approval
from flipsync.services.desk import Services
from flipsync.services.graders import GRADERS
from flipsync.services.notices import matters
from flipsync.services.orders import AccountRef
from flipsync.services.product_edits import ProductEdit
from flipsync.services.undo import undo_decision
from flipsync.services.why import explain
from flipsync.store.repositories.grades import DueRow

LONG = (
    "Bosch GSR 18V-55 cordless drill with two speeds and a bright lamp for dark corners and long evenings in the"
    " workshop or wherever else somebody may want to drill a hole or drive a screw without looking for a socket in"
    " the wall first 18V"
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 2, 12, tzinfo=UTC))


@pytest.fixture
async def shop(database_urls: dict[str, str], clock: ManualClock) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"], clock=clock)
    yield await Shop(store).found()
    await store.aclose()


async def goods(shop: Shop, **product: Any) -> Goods:
    """Goods that lack nothing but what `product` takes away."""
    made = await shop.variant(units=3, barcode=product.pop("barcode", "4006381333931"))
    whole = {
        "title": "Bosch GSR 18V-55 cordless drill",
        "description_html": "<p>A drill</p>",
        "brand": "Bosch",
        "category": "Drills",
        "images": [f"https://img.test/{n}.jpg" for n in range(3)],
    }
    await change(shop, made, **(whole | product))
    return made


async def change(shop: Shop, of: Goods, **product: Any) -> None:
    async with shop.unit() as unit:
        for name, value in product.items():
            kept = orjson.dumps(value).decode() if name == "images" else value
            cast_ = "CAST(:value AS jsonb)" if name == "images" else ":value"
            await unit.session.execute(
                text(f"UPDATE product SET {name} = {cast_} WHERE id = :id"), {"value": kept, "id": of.product_id}
            )


async def listed(
    shop: Shop, account: AccountRef, of: Goods, *, status: str = "active", reason: str = "", state: str = "confirmed"
) -> UUID:
    """A listing whose channel was told what the books say now, and took it or (`rejected`) did not."""
    listing = await shop.listing(account, of, units=3, status=status)
    async with shop.unit() as unit:
        services = Services(unit.session, shop.tenant_id, unit.now)
        found = await services.listings.outdated(listing)
        assert found is not None and found.offer is not None
    publish = PublishListing(account_id=account.id, listing_id=listing, offer=found.offer)
    effect = await shop.enqueue(publish, account)
    await finish(shop, effect, state, reason)
    await shop_sql(shop, "UPDATE listing SET status_reason = :why WHERE id = :id", why=reason, id=listing)
    return listing


async def finish(shop: Shop, effect: UUID, state: str = "confirmed", detail: str = "") -> None:
    result = orjson.dumps({"detail": detail, "vendor_code": "x"}).decode()
    await shop_sql(
        shop,
        "UPDATE effect SET state = :state, finished_at = now(), result = CAST(:result AS jsonb) WHERE id = :id",
        state=state,
        result=result,
        id=effect,
    )
    await shop_sql(
        shop,
        "INSERT INTO receipt (id, tenant_id, effect_id, attempt, outcome, detail, vendor_code, started_at, finished_at)"
        " VALUES (gen_random_uuid(), current_tenant(), :id, 1, :state, :detail, '', now(), now())",
        id=effect,
        state=state,
        detail=detail,
    )


async def shop_sql(shop: Shop, sql: str, **values: Any) -> None:
    async with shop.unit() as unit:
        await unit.session.execute(text(sql), values)


def lacking(account: AccountRef, listing: UUID) -> ListingLacking:
    return ListingLacking(listing_id=listing, account_id=account.id, vendor=cast(Vendor, account.vendor))


async def decide(shop: Shop, event: Event) -> Decision[Any]:
    told: Decision[Any] = await shop.decide(ListingAgent(), event)
    return told


async def carry_out(shop: Shop, decision: Decision[Any], event: Event) -> tuple[UUID, list[str]]:
    path = DecisionPath(Graph(ROSTER), Gate(shop.firewall, [ComplianceAgent()]))
    async with shop.unit() as unit:
        event_id = unit.emit(event)
        await unit.flush()
        services = Services(unit.session, shop.tenant_id, unit.now)
        context = Context(shop.tenant_id, unit.now, services, event_id, event_id)
        decision_id = await path.record(unit, context, ListingAgent.spec, decision, fact=event.type_name())
    rows = await shop.rows(
        "SELECT verdict, rule FROM proposal WHERE decision_id = :id ORDER BY ordinal", id=decision_id
    )
    return decision_id, [f"{row.verdict}:{row.rule}" for row in rows]


async def answer(shop: Shop, decision_id: UUID, *, yes: bool) -> None:
    path = DecisionPath(Graph(ROSTER), Gate(shop.firewall, [ComplianceAgent()]))
    (asked,) = await shop.rows("SELECT id FROM approval WHERE decision_id = :id AND state = 'open'", id=decision_id)
    async with shop.unit() as unit:
        await answer_approval(unit, asked.id, approved=yes, by=None)
    async with shop.unit() as unit:
        services = Services(unit.session, shop.tenant_id, unit.now)
        context = Context(shop.tenant_id, unit.now, services, new_id(), new_id())
        await (path.endorse(unit, context, decision_id) if yes else path.overrule(unit, decision_id, "no"))


async def test_a_title_too_long_for_amazon_is_cut_and_the_listing_tried_again_once(shop: Shop) -> None:
    account = await shop.account("amazon")
    drill = await goods(shop, title=LONG)
    listing = await listed(shop, account, drill, status="refused", reason="item_name is too long", state="rejected")
    event = ListingRefused(listing_id=listing, account_id=account.id, vendor="amazon", reason="item_name is too long")
    decision = await decide(shop, event)
    (fix,) = decision.proposals
    assert isinstance(fix, FitListing) and fix.relist and fix.expected > fix.score
    (shorter,) = fix.titles.values()
    assert len(shorter) <= 200 and set(shorter.split()) <= set(LONG.split())
    assert shorter.startswith("Bosch GSR 18V-55 cordless drill") and shorter.endswith("18V")
    _, verdicts = await carry_out(shop, decision, event)
    assert verdicts == ["proceed:books"] and len(await shop.events(ListingRequested)) == 1
    async with shop.store.reader(shop.tenant_id) as session:
        (waits,) = await Services(session, shop.tenant_id, shop.store.clock.now()).listings.requested(
            drill.product_id, account.id
        )
    assert waits.offer is not None and waits.offer.title == shorter
    # refused once more, for some other reason: the same is not tried again, a person is told
    publish = PublishListing(account_id=account.id, listing_id=listing, offer=waits.offer)
    await finish(shop, await shop.enqueue(publish, account), "rejected", "brand is restricted")
    await shop_sql(
        shop, "UPDATE listing SET status = 'refused', status_reason = 'brand is restricted' WHERE id = :i", i=listing
    )
    again = await decide(shop, event)
    (note,) = again.proposals
    assert isinstance(note, NoteListingNeeds) and "brand is restricted" in note.needs[0].says


async def test_what_a_channel_was_never_told_is_told_once_unless_somebody_edited_it(shop: Shop) -> None:
    account = await shop.account("ebay")
    drill = await goods(shop, brand=None)
    listing = await listed(shop, account, drill)
    await change(shop, drill, brand="Bosch")
    event = lacking(account, listing)
    decision = await decide(shop, event)
    fix, revise = decision.proposals
    assert isinstance(fix, FitListing) and fix.check == "told" and not fix.titles
    assert isinstance(revise, ReviseListing) and revise.offer.brand == "Bosch" and revise.unless_edited
    assert "was not told our brand" in decision.rationale
    decision_id, verdicts = await carry_out(shop, decision, event)
    assert verdicts == ["proceed:books", "proceed:open"]
    assert "on its way" in (await decide(shop, event)).rationale
    (sent,) = await shop.rows("SELECT id FROM effect WHERE command = 'ReviseListing' AND tenant_id = :tenant")
    await finish(shop, sent.id, "rejected", "no")
    refused = await decide(shop, event)
    assert all(isinstance(each, NoteListingNeeds) for each in refused.proposals), "not the same words again"
    assert "refuses its new words: no" in refused.rationale
    async with shop.unit() as unit:
        report = await undo_decision(unit, decision_id, dry_run=True, allowed=lambda _: True)
    assert {part.outcome for part in report.parts} == {"moved-on", "impossible"}
    await shop_sql(
        shop, "UPDATE listing SET shown = CAST(:s AS jsonb) WHERE id = :i", i=listing, s='{"told": {"title": "x"}}'
    )
    held = await decide(shop, event)
    assert held.is_hold and "edited it on the channel" in held.rationale


async def test_words_written_by_hand_stay(shop: Shop) -> None:
    account = await shop.account("ebay")
    drill = await goods(shop, title=LONG)
    listing = await listed(shop, account, drill)
    event = lacking(account, listing)
    assert "title-length" in {
        each.check for each in (await decide(shop, event)).proposals if isinstance(each, FitListing)
    }
    await shop_sql(
        shop, "UPDATE listing SET overrides = CAST(:o AS jsonb) WHERE id = :i", i=listing, o='{"title": "By hand"}'
    )
    assert not any(isinstance(each, FitListing) and each.titles for each in (await decide(shop, event)).proposals)


async def test_a_fitted_title_lasts_as_long_as_the_products_and_is_taken_back(shop: Shop) -> None:
    account = await shop.account("ebay")
    drill = await goods(shop, title=LONG)
    listing = await listed(shop, account, drill)
    event = lacking(account, listing)
    decision = await decide(shop, event)
    decision_id, _ = await carry_out(shop, decision, event)
    (sent,) = await shop.rows("SELECT id FROM effect WHERE command = 'ReviseListing' AND tenant_id = :tenant")
    await finish(shop, sent.id)

    async def title() -> str:
        async with shop.store.reader(shop.tenant_id) as session:
            found = await Services(session, shop.tenant_id, shop.store.clock.now()).listings.outdated(listing)
        assert found is not None and found.offer is not None
        return found.offer.title

    short = await title()
    assert len(short) <= 80 and short.startswith("Bosch GSR 18V-55") and "18V" in short.split()[-1]
    assert (await decide(shop, event)).is_hold, "it lacks nothing any more"
    async with shop.store.reader(shop.tenant_id) as session:
        why = (await explain(session, drill.sku)).model_dump_json()
    assert "fit the words of" in why
    await change(shop, drill, title="Bosch drill of another name")
    assert await title() == "Bosch drill of another name"
    await change(shop, drill, title=LONG)
    async with shop.unit() as unit:
        report = await undo_decision(unit, decision_id, allowed=lambda _: True)
    assert [part.outcome for part in report.parts if part.command == "FitListing"] == ["undone"]
    assert await title() == LONG and len(await shop.events(ListingOutdated)) == 1


async def test_what_only_a_person_knows_is_told_once_and_settled(shop: Shop) -> None:
    account = await shop.account("ebay", name="Our eBay")
    drill = await goods(shop, images=[], barcode=None)
    listing = await listed(shop, account, drill)
    event = lacking(account, listing)
    decision = await decide(shop, event)
    (note,) = decision.proposals
    assert isinstance(note, NoteListingNeeds)
    assert [need.check for need in note.needs] == ["pictures", "barcode"], "the most for a minute first"
    await carry_out(shop, decision, event)
    assert (await decide(shop, event)).is_hold
    async with shop.store.reader(shop.tenant_id) as session:
        (worst,) = await reading_quality.worst(session, shop.store.clock.now(), 10)
        view = await reading_quality.quality(session, listing, shop.store.clock.now())
        assert await reading_quality.worst(session, shop.store.clock.now(), 10, "NO-SUCH-SKU") == []
        with pytest.raises(NotFound):
            await reading_quality.quality(session, new_id(), shop.store.clock.now())
    assert worst.sku == drill.sku and worst.step is not None and worst.step.by == "you"
    assert (view.score, [each.check for each in view.steps]) == (worst.score, ["pictures", "barcode"])
    assert view.checks[0].check == "pictures" and "Sell Inventory API" in view.checks[0].source
    async with shop.unit() as unit:
        unit.session.add(_owner(shop))
    async with shop.unit() as unit:
        assert await matters.tell(unit) == 1
    async with shop.unit() as unit:
        assert await matters.tell(unit) == 0
    (told,) = await shop.rows("SELECT kind, facts FROM notification")
    assert told.kind == "listings-need-you" and told.facts["listings"] == 1 and told.facts["first"] == drill.sku
    async with shop.unit() as unit:
        row = (await shop.rows("SELECT version FROM product WHERE id = :i", i=drill.product_id))[0]
        pictures = [f"https://img.test/{n}.jpg" for n in range(3)]
        await product_edits.edit_product(unit, drill.product_id, ProductEdit(images=pictures), row.version)
    (edit,) = await shop.events(ProductEdited)
    (plan,) = (await decide(shop, ProductEdited.model_validate(edit))).proposals
    assert isinstance(plan, PlanListingWork) and plan.listings == (listing,)
    assert (await decide(shop, event)).is_hold, "its channel's agent is at it"
    await shop_sql(shop, "UPDATE agent_task SET finished_at = now() WHERE tenant_id = current_tenant()")
    over = await decide(shop, event)
    note = next(each for each in over.proposals if isinstance(each, NoteListingNeeds))
    assert note.over == ("pictures",) and not note.needs


def _owner(shop: Shop) -> Any:
    from flipsync.store import models as m

    return m.User(tenant_id=shop.tenant_id, email=f"{new_id()}@shop.test", password_hash="x", role="owner")


async def test_a_brand_that_other_goods_bear_is_asked_about_once(shop: Shop) -> None:
    account = await shop.account("shopify")
    for _ in range(3):
        await goods(shop)
    bare = await goods(shop, title="Bosch UniversalImpact 800 hammer drill", brand=None)
    case = await goods(shop, title="Case for Bosch drills of all sizes", brand=None)
    listing = await listed(shop, account, bare)
    event = lacking(account, listing)
    decision = await decide(shop, event)
    (ask,) = (each for each in decision.proposals if not isinstance(each, NoteListingNeeds))
    assert isinstance(ask, OfferProductFacts) and ask.brand == "Bosch" and ask.subject() == ("product", bare.product_id)
    decision_id, verdicts = await carry_out(shop, decision, event)
    assert verdicts[0] == "ask:owner-decides"
    await answer(shop, decision_id, yes=False)
    again = await decide(shop, event)
    assert not any(isinstance(each, OfferProductFacts) for each in again.proposals), "no means no"
    other = await goods(shop, title="Bosch GBH 2-26 rotary hammer", brand=None)
    event = lacking(account, await listed(shop, account, other))
    decision_id, _ = await carry_out(shop, await decide(shop, event), event)
    await answer(shop, decision_id, yes=True)
    assert (await shop.rows("SELECT brand FROM product WHERE id = :i", i=other.product_id))[0].brand == "Bosch"
    of_case = await decide(shop, lacking(account, await listed(shop, account, case)))
    assert not any(isinstance(each, OfferProductFacts) for each in of_case.proposals), "it is not Bosch's"


async def test_a_refusal_that_names_what_it_lacks_is_answered_from_the_text_or_by_a_person(shop: Shop) -> None:
    account = await shop.account("ebay")
    drill = await goods(shop)
    reason = "eBay's category 71 requires item specifics that the product has not: Brand, Voltage"
    listing = await listed(shop, account, drill, status="refused", reason=reason, state="rejected")
    event = ListingRefused(listing_id=listing, account_id=account.id, vendor="ebay", reason=reason)
    (note,) = (await decide(shop, event)).proposals
    assert isinstance(note, NoteListingNeeds) and "it asks for Voltage" in note.needs[0].says
    value = {"attributes": [{"name": "Voltage", "value": "18 V", "quote": "18 V"}], "risks": [], "positioning": []}
    await shop_sql(
        shop,
        "INSERT INTO product_reading (id, tenant_id, product_id, call_id, value, read_at) VALUES"
        " (gen_random_uuid(), current_tenant(), :p, gen_random_uuid(), CAST(:v AS jsonb), now())",
        p=drill.product_id,
        v=orjson.dumps(value).decode(),
    )
    decision = await decide(shop, event)
    ask = decision.proposals[0]
    assert isinstance(ask, OfferListingFix) and ask.specifics == {"Voltage": "18 V"} and ask.relist
    decision_id, _ = await carry_out(shop, decision, event)
    assert not await shop.events(ListingRequested)
    await answer(shop, decision_id, yes=True)
    assert len(await shop.events(ListingRequested)) == 1
    async with shop.store.reader(shop.tenant_id) as session:
        (waits,) = await Services(session, shop.tenant_id, shop.store.clock.now()).listings.requested(
            drill.product_id, account.id
        )
    assert waits.offer is not None and waits.offer.attributes["Voltage"] == "18 V"


async def test_what_was_mended_in_the_product_since_a_refusal_is_listed_again(shop: Shop) -> None:
    account = await shop.account("ebay")
    drill = await goods(shop, category=None)
    why = "eBay suggests no category"
    listing = await listed(shop, account, drill, status="refused", reason=why, state="rejected")
    event = lacking(account, listing)
    first = await decide(shop, event)
    assert all(isinstance(each, NoteListingNeeds) for each in first.proposals)
    await change(shop, drill, category="Drills")
    fix = (await decide(shop, event)).proposals[0]
    assert isinstance(fix, FitListing) and fix.relist and fix.check == "on-sale"


async def test_a_missing_description_is_made_of_what_is_known(shop: Shop) -> None:
    account = await shop.account("custom")
    drill = await goods(shop, description_html="")
    event = lacking(account, await listed(shop, account, drill))
    decision = await decide(shop, event)
    (write,) = (each for each in decision.proposals if isinstance(each, WriteContent))
    assert "Brand: Bosch" in (write.description_html or "")
    _, verdicts = await carry_out(shop, decision, event)
    assert "proceed:books" in verdicts and len(await shop.events(ListingOutdated)) == 1
    assert "on its way" in (await decide(shop, event)).rationale, "its channel's agent is at it"


async def test_variations_that_stand_alone_are_told(shop: Shop) -> None:
    account = await shop.account("shopify")
    red, blue = await goods(shop), await goods(shop)
    for each, colour in ((red, "Red"), (blue, "Blue")):
        options = orjson.dumps({"Colour": colour}).decode()
        await shop_sql(
            shop,
            "UPDATE variant SET product_id = :p, options = CAST(:o AS jsonb) WHERE id = :v",
            p=red.product_id,
            o=options,
            v=each.variant_id,
        )
    one = await listed(shop, account, red)  # alone, as long as the product has no options
    await listed(shop, account, blue)
    await shop_sql(shop, "UPDATE product SET option_names = '[\"Colour\"]' WHERE id = :p", p=red.product_id)
    decision = await decide(shop, lacking(account, one))
    (note,) = (each for each in decision.proposals if isinstance(each, NoteListingNeeds))
    assert any(need.check == "variations" and "2 of 2 variations stand alone" in need.says for need in note.needs)


async def test_the_weeks_look_is_bounded_told_once_and_nobody_elses(shop: Shop, clock: ManualClock) -> None:
    account = await shop.account("ebay")
    drill = await goods(shop, images=[])
    listing = await listed(shop, account, drill)
    event = ListingsDue(tenant_id=shop.tenant_id)
    decision = await decide(shop, event)
    assert decision.proposals == (PlanListingWork(tenant_id=shop.tenant_id, listings=(listing,)),)
    assert "1 of 1 listings score" in decision.rationale
    await carry_out(shop, decision, event)
    assert [UUID(each["listing_id"]) for each in await shop.events(ListingLacking)] == [listing]
    fault = ChannelFaultFound(
        account_id=account.id,
        vendor="ebay",
        fault_id=new_id(),
        cause="listing-suppressed",
        evidence=(f"{drill.sku} (x-{drill.sku}) is not shown to buyers",),
    )
    assert (await decide(shop, fault)).proposals == decision.proposals
    await carry_out(shop, await decide(shop, lacking(account, listing)), lacking(account, listing))
    assert (await decide(shop, event)).is_hold, "what was told is not told again"
    stranger = await Shop(shop.store).found()
    for foreign in (event, fault, lacking(account, listing)):
        assert (await decide(stranger, foreign)).is_hold
    async with stranger.unit() as unit:
        await listing_care.plan_work(unit, cast(PlanListingWork, decision.proposals[0]))
    assert await stranger.events(ListingLacking) == []


async def test_a_fortnight_later_it_is_read_again(shop: Shop, clock: ManualClock) -> None:
    account = await shop.account("ebay")
    drill = await goods(shop, title=LONG)
    listing = await listed(shop, account, drill)
    event = lacking(account, listing)
    decision = await decide(shop, event)
    await carry_out(shop, decision, event)
    (sent,) = await shop.rows("SELECT id FROM effect WHERE command = 'ReviseListing' AND tenant_id = :tenant")
    await finish(shop, sent.id)
    clock.advance(timedelta(days=15))
    (fit,) = await shop.rows("SELECT id, payload FROM proposal WHERE command = 'FitListing'")
    row = DueRow(**_due(fit, listing, clock.now() - timedelta(days=15)))
    grader = GRADERS["listing-fix"]

    async def grade() -> Any:
        async with shop.store.reader(shop.tenant_id) as session:
            facts = await grading._facts(session, shop.tenant_id, row.kind, [row], clock.now())
        return grader.grade(row, facts.get(row.id), clock.now())

    assert (await grade()).outcome == 1
    await shop_sql(
        shop,
        "INSERT INTO sku_day (tenant_id, day, account_id, sku, currency, orders, cancelled, units, returned, goods,"
        " shipping, tax, refunds, refunds_before_tax, fees, fees_told, cost, units_without_cost, orders_without_fees)"
        " SELECT current_tenant(), CAST(:day AS date), :a, s, 'USD', 9,0,n,0,9,0,0,0,0,0,0,0,0,0"
        " FROM (VALUES (:sku, 20), ('another', 20)) AS v(s, n)",
        day=(clock.now() - timedelta(days=20)).date(),
        a=account.id,
        sku=drill.sku,
    )
    await shop_sql(
        shop,
        "INSERT INTO sku_day (tenant_id, day, account_id, sku, currency, orders, cancelled, units, returned, goods,"
        " shipping, tax, refunds, refunds_before_tax, fees, fees_told, cost, units_without_cost, orders_without_fees)"
        " VALUES (current_tenant(), CAST(:day AS date), :a, 'another', 'USD', 9,0,25,0,9,0,0,0,0,0,0,0,0,0)",
        day=(clock.now() - timedelta(days=5)).date(),
        a=account.id,
    )
    worse = await grade()
    assert worse.outcome == 0 and "sells less: 0 units, 20 before" in worse.why
    await shop_sql(shop, "UPDATE listing SET status = 'refused' WHERE id = :i", i=listing)
    assert (await grade()).why == "the listing is refused"


def _due(proposal: Any, listing: UUID, decided: datetime) -> dict[str, Any]:
    known = {
        "id": new_id(),
        "kind": "listing-fix",
        "decision_id": new_id(),
        "decided_at": decided,
        "due_at": decided + timedelta(days=14),
        "subject_id": listing,
        "payload": proposal.payload,
        "decision_state": "applied",
        "verdict": "proceed",
    }
    return {name: known.get(name) for name in DueRow.__dataclass_fields__}
