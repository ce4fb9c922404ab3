"""How an order leaves: one mail to the supplier, with one of three outcomes, and nothing of it twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from uuid import UUID

import pytest
from notice_servers import MailServer
from pydantic import SecretStr
from sqlalchemy import text
from told_people import House, open_house

from flipsync.connectors.notices.destination import parse
from flipsync.connectors.notices.reach import Reach
from flipsync.connectors.notices.sending import Sender
from flipsync.domain.errors import Conflict
from flipsync.domain.purchase_events import PurchaseMailFailed, PurchaseOrdered
from flipsync.services import goods_in, purchase_mail, purchase_orders, reading_purchasing, suppliers
from flipsync.services.notices import destinations
from flipsync.services.purchase_orders import Wanted
from flipsync.services.reading_purchasing import PurchaseOrderView
from flipsync.services.suppliers import SupplierForm
from flipsync.store import restored

INSIDE = Reach(["127.0.0.0/8"])


async def has_mail(house: House, server: MailServer, role: str = "owner") -> None:
    """A person's mail account that works."""
    url = f"mailto://127.0.0.1:{server.port}?from=shop@example.com&to=ada@example.com"
    async with house.shop.unit() as unit:
        way = await destinations.add(unit, house.box, house.people[role], SecretStr(url), parse(url))  # type: ignore[index]
        await unit.session.execute(text("DELETE FROM notification_delivery"))
        await unit.session.execute(
            text("UPDATE notification_destination SET state = 'working' WHERE id = :id"), {"id": way.id}
        )


async def placed(house: House, *, email: str | None = "orders@teapots.example", name: str = "Teapots") -> UUID:
    goods = await house.shop.variant()
    async with house.shop.unit() as unit:
        made = await suppliers.create(unit, SupplierForm(name=name, email=email))
        order = await purchase_orders.draft(
            unit, made.id, {goods.variant_id: Wanted(12, 4800)}, note="the blue ones, please\nBcc: x@y.example"
        )
        await purchase_orders.place(unit, order.id)
    return order.id


async def send(house: House, seconds: float = 10.0) -> None:
    notifier = house.notifier(Sender(INSIDE, seconds=seconds))
    await notifier.look(house.shop.tenant_id)
    await notifier.settle()


def orders(server: MailServer) -> list[EmailMessage]:
    """What the supplier was mailed; the owner is told of things at the same server."""
    return [mail for mail in server.mails if mail["X-Envelope-To"] == "orders@teapots.example"]


async def view(house: House, order: UUID) -> PurchaseOrderView:
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        return await reading_purchasing.get_order(session, order, costs=True)


async def test_an_order_is_mailed_once_from_the_owners_account_and_then_the_supplier_has_it(
    house: House, mails: MailServer
) -> None:
    await has_mail(house, mails)
    order = await placed(house, name="Teapots <b>& more</b>")
    before = await view(house, order)
    assert (before.state, before.mail) == ("placing", "waiting")
    for _ in range(3):
        await send(house)
    (mail,) = orders(mails)
    assert mail["From"] == "shop@example.com"
    assert mail["Subject"] == "Order 1 of Shop" and f"<{order}-order@" in mail["Message-ID"]
    body = mail.get_body(("plain",))
    assert body is not None
    words = body.get_content()
    assert "12 × SKU-" in words and "48.00" in words and "the blue ones, please Bcc: x@y.example" in words
    after = await view(house, order)
    assert (after.state, after.mail) == ("ordered", "sent") and after.ordered_at is not None
    assert len(await house.shop.events(PurchaseOrdered)) == 1


async def test_without_an_address_or_an_account_it_is_put_to_the_owner(house: House, mails: MailServer) -> None:
    await has_mail(house, mails, "clerk")
    no_account = await placed(house)
    await has_mail(house, mails)
    no_address = await placed(house, email=None, name="Cups")
    await send(house)
    assert orders(mails) == []
    for order in (no_account, no_address):
        assert (await view(house, order)).mail == "none"
    told = [each for each in await house.told("owner") if each.kind == "purchase-to-place"]
    assert sorted(each.title for each in told) == [
        "Cups has to be told of the order 2 by you",
        "Teapots has to be told of the order 1 by you",
    ]
    assert [each for each in await house.told("clerk") if each.kind.startswith("purchase")] == []
    async with house.shop.unit() as unit:
        await purchase_orders.ordered(unit, no_account)
    await house.tell()
    assert len([each for each in await house.told("owner") if each.kind == "purchase-to-place"]) == 1


async def test_a_refused_mail_is_put_to_the_owner_and_a_busy_server_asked_again(
    house: House, mails: MailServer
) -> None:
    await has_mail(house, mails)
    order = await placed(house)
    mails.rcpt = "450 busy"
    await send(house)
    waits = await view(house, order)
    assert (waits.state, waits.mail, waits.mail_detail) == ("placing", "waiting", "the mail server answered 450")
    await send(house)
    assert orders(mails) == [], "not before its pause is over"
    async with house.shop.unit() as unit:
        await unit.session.execute(text("UPDATE purchase_order SET mail_not_before = now() - interval '1 s'"))
    mails.rcpt = "550 no such mailbox"
    await send(house)
    refused = await view(house, order)
    assert (refused.state, refused.mail) == ("placing", "rejected")
    (state,) = await house.shop.rows("SELECT state FROM notification_destination")
    assert state.state == "working", "the owner's own account is not to blame"
    await house.tell()
    assert "purchase-to-place" in {each.kind for each in await house.told("owner")}
    async with house.shop.unit() as unit:
        await purchase_orders.ordered(unit, order)
    assert (await view(house, order)).state == "ordered"


async def test_a_mail_nobody_can_tell_of_is_not_sent_again_and_a_person_settles_it(
    house: House, mails: MailServer
) -> None:
    await has_mail(house, mails)
    first, second = await placed(house), await placed(house, name="Cups")
    mails.drop = True
    await send(house)
    mails.drop = False
    await send(house)
    assert len(orders(mails)) == 2, "each once"
    assert {(await view(house, each)).mail for each in (first, second)} == {"unknown"}
    assert [fact["outcome"] for fact in await house.shop.events(PurchaseMailFailed)] == ["unknown"] * 2
    await house.tell()
    urgent = [each for each in await house.told("owner") if each.kind == "purchase-unknown"]
    assert len(urgent) == 2 and urgent[0].severity == "urgent"
    async with house.shop.unit() as unit:
        await purchase_orders.ordered(unit, first)
        await purchase_orders.cancel(unit, second, "not wanted any more")
    assert ((await view(house, first)).state, (await view(house, first)).mail) == ("ordered", "sent")
    await send(house)
    assert len(orders(mails)) == 3 and orders(mails)[-1]["Subject"] == "Cancelled: order 2 of Shop"
    await house.tell()
    assert [each for each in await house.told("owner") if each.kind.startswith("purchase")] == []


async def test_a_try_that_was_killed_in_the_middle_is_known_as_one_of_which_nobody_can_tell(
    house: House, mails: MailServer
) -> None:
    await has_mail(house, mails)
    order = await placed(house)
    async with house.shop.unit() as unit:
        (ready,) = await purchase_mail.claim(unit, house.box, 5)
    with pytest.raises(Conflict, match="is being mailed"):
        async with house.shop.unit() as unit:
            await purchase_orders.cancel(unit, order, "quick")
    async with house.shop.unit() as unit:
        assert await purchase_mail.claim(unit, house.box, 5) == [], "somebody has it"
        await unit.session.execute(text("UPDATE purchase_order SET mail_lease_until = now() - interval '1 s'"))
    await send(house)
    assert orders(mails) == [] and (await view(house, order)).mail == "unknown"
    async with house.shop.unit() as unit:  # the one that was thought dead comes late: it has no say any more
        await purchase_mail.record(unit, ready.claimed, None)
    assert (await view(house, order)).mail == "unknown"


async def test_what_was_called_off_before_it_went_is_told_to_nobody(house: House, mails: MailServer) -> None:
    await has_mail(house, mails)
    order = await placed(house)
    async with house.shop.unit() as unit:
        await purchase_orders.cancel(unit, order, "quick")
    await send(house)
    assert orders(mails) == [] and (await view(house, order)).state == "cancelled"


async def test_goods_that_came_anyhow_need_no_mail_any_more(house: House, mails: MailServer) -> None:
    await has_mail(house, mails)
    order = await placed(house)
    async with house.shop.unit() as unit:
        variant = (await view(house, order)).lines[0].variant_id
        await goods_in.receive(unit, order, {variant: 12}, key="slip")
    await send(house)
    assert orders(mails) == [] and (await view(house, order)).state == "received"


async def test_what_is_late_is_told(house: House) -> None:
    order = await placed(house, email=None)
    async with house.shop.unit() as unit:
        await purchase_orders.ordered(unit, order)
    house.clock.at += timedelta(days=30)
    await house.tell()
    assert "Order 1 from Teapots is late" in {each.title for each in await house.told("owner")}


async def test_books_that_were_put_back_mail_nothing_that_may_have_gone_out_since(
    make_database: Callable[[], dict[str, str]], mails: MailServer
) -> None:
    urls = make_database()
    async with open_house(urls["worker"]) as house:
        await has_mail(house, mails)
        order = await placed(house)
        restored.settle(urls["owner"])
        await send(house)
        told = await view(house, order)
        assert orders(mails) == [] and (told.state, told.mail) == ("placing", "unknown")
        assert "put back" in told.mail_detail
