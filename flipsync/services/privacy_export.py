"""All that is held about one person, for them to have: machine-readable JSON, or a ZIP with their files in it."""

from __future__ import annotations

import io
import zipfile
from base64 import b64decode, b64encode
from collections import defaultdict
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import NotFound
from flipsync.security.secrets import SecretBox
from flipsync.services import erasure, labels
from flipsync.services.erasure import Buyer
from flipsync.services.reading_page import Moment
from flipsync.store.repositories import privacy as rows

_ENDINGS = {"application/pdf": "pdf", "image/png": "png", "text/plain": "txt", "application/zpl": "zpl"}


class LabelFile(BaseModel):
    label_id: UUID
    media_type: str
    content: str = Field(description="base64")


class BuyerExport(BaseModel):
    """`records`: rows of their orders by kind. `mentions`: every other row that names them, by table."""

    made_at: Moment
    orders: list[UUID]
    records: dict[str, list[dict[str, Any]]]
    mentions: dict[str, list[dict[str, Any]]]
    labels: list[LabelFile]


class UserExport(BaseModel):
    """Rows by kind; no secret, and no hash of one."""

    made_at: Moment
    records: dict[str, list[dict[str, Any]]]


async def buyer(session: AsyncSession, box: SecretBox, tenant_id: UUID, whom: Buyer) -> BuyerExport:
    """Raises NotFound where no order names them."""
    order_ids = [order.id for order in await erasure.find(session, whom)]
    records = await rows.whole_orders(session, order_ids)
    mentions: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for table, content in await rows.mentions(session, order_ids):
        mentions[table].append({name: value for name, value in content.items() if name != "document"})
    words = await rows.words_of(session, order_ids)
    if noted := await erasure.notes_naming(session, order_ids, words):
        mentions["decision_notes"] = noted
    files = []
    for label_id in await rows.labels_with_files(session, order_ids):
        media_type, document = await labels.document(session, box, tenant_id, label_id)
        files.append(LabelFile(label_id=label_id, media_type=media_type, content=b64encode(document).decode()))
    return BuyerExport(made_at=utc_now(), orders=order_ids, records=records, mentions=dict(mentions), labels=files)


async def user(session: AsyncSession, user_id: UUID) -> UserExport:
    """Raises NotFound."""
    records = await rows.whole_user(session, user_id)
    if not records["user"]:
        raise NotFound(f"no user {user_id}")
    return UserExport(made_at=utc_now(), records=records)


def as_zip(export: BuyerExport | UserExport) -> bytes:
    """`data.json`, and beside it each label as the file it is."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        files = export.labels if isinstance(export, BuyerExport) else []
        plain = export.model_dump(mode="json", exclude={"labels"})
        if files:
            plain["labels"] = [{"label_id": str(each.label_id), "file": _name(each)} for each in files]
        archive.writestr("data.json", orjson.dumps(plain, option=orjson.OPT_INDENT_2))
        for each in files:
            archive.writestr(_name(each), b64decode(each.content))
    return content.getvalue()


def _name(label: LabelFile) -> str:
    return f"labels/{label.label_id}.{_ENDINGS.get(label.media_type, 'bin')}"
