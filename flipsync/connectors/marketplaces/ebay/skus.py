"""SKUs as eBay takes them: letters, digits and a few marks, 50 at most. Pure.

A SKU that eBay would refuse (error 25707) is spelled in what it takes: "A/B" becomes "fs.A_2FB", and is read back as
"A/B". Every other SKU stays as it is.
"""

from __future__ import annotations

import re

from flipsync.domain.errors import Rejected

MAX_LENGTH = 50
_PREFIX = "fs."
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
_KEPT = re.compile(r"[A-Za-z0-9.-]")
_SPELLED = re.compile(r"(?:[A-Za-z0-9.-]|_[0-9A-F]{2})+")


def spell(sku: str) -> str:
    """How eBay is told this SKU. Raises Rejected when it is too long for that."""
    spelled = sku
    if not _PLAIN.fullmatch(sku) or sku.startswith(_PREFIX):
        letters = (chr(byte) if _KEPT.fullmatch(chr(byte)) else f"_{byte:02X}" for byte in sku.encode())
        spelled = _PREFIX + "".join(letters)
    if len(spelled) > MAX_LENGTH:
        raise Rejected(
            f"the SKU {sku!r} is too long for eBay, which takes {MAX_LENGTH} letters and digits",
            hint="give the variant a shorter SKU",
            vendor_code="25707",
        )
    return spelled


def unspell(spelled: str) -> str:
    """The SKU that eBay tells us, in our own spelling."""
    rest = spelled.removeprefix(_PREFIX)
    if rest == spelled or not _SPELLED.fullmatch(rest):
        return spelled
    try:
        sku = re.sub(rb"_([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), rest.encode()).decode()
    except UnicodeDecodeError:
        return spelled
    # Somebody else's SKU may look like one of ours.
    return sku if len(spelled) <= MAX_LENGTH and spell(sku) == spelled else spelled
