"""Which addresses a destination may be at: the open internet, and inside only what the operator has named.

A name is resolved once, every address it has is judged, and one of those is connected to: a name that means another
address a moment later (DNS rebinding) gains nothing. Redirects are followed nowhere.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from flipsync.domain.errors import InvalidInput, Rejected, Retryable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
_SECONDS_TO_RESOLVE, _SECONDS_TO_CONNECT = 5.0, 10.0


class Reach:
    """`inside`: host names, addresses and networks that are allowed although they are not on the open internet."""

    def __init__(self, inside: Iterable[str] = ()) -> None:
        """Raises InvalidInput for what is neither a name nor a network."""
        self._names: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for each in inside:
            try:
                self._networks.append(ipaddress.ip_network(each, strict=False))
            except ValueError:
                if not each or "/" in each:
                    raise InvalidInput(f"{each!r} is neither a host nor a network") from None
                self._names.add(each.lower().rstrip("."))

    @cached_property
    def _resolver(self) -> ThreadPoolExecutor:
        """Of our own: a name server that hangs holds up nothing but this."""
        return ThreadPoolExecutor(4, thread_name_prefix="notice-names")

    def is_inside(self, host: str) -> bool:
        """Whether the operator has named this host."""
        return host.lower().rstrip(".") in self._names or any(
            address in network for address in _literal(host) for network in self._networks
        )

    async def addresses(self, host: str, port: int) -> list[str]:
        """Where the name leads now. Raises Rejected when any of it is inside, Retryable when it leads nowhere."""
        try:
            async with asyncio.timeout(_SECONDS_TO_RESOLVE):
                found = await asyncio.get_running_loop().run_in_executor(self._resolver, _resolve, host, port)
        except (TimeoutError, OSError, UnicodeError):
            raise Retryable(f"the name {host} leads nowhere now") from None
        if not found:
            raise Retryable(f"the name {host} leads nowhere now")
        named = host.lower().rstrip(".") in self._names
        for text in found:
            address = ipaddress.ip_address(text)
            if not named and not any(address in network for network in self._networks) and not is_outside(address):
                raise Rejected(
                    f"{host} is inside the installation's own network",
                    hint="the operator can allow it: FLIPSYNC_NOTIFY_INSIDE",
                )
        return found

    async def connect(self, host: str, port: int) -> socket.socket:
        """A connection to one of the addresses. Raises Rejected, Retryable."""
        problem = "nobody answers"
        for text in await self.addresses(host, port):
            family = socket.AF_INET6 if ":" in text else socket.AF_INET
            opened = socket.socket(family, socket.SOCK_STREAM)
            opened.setblocking(False)
            try:
                async with asyncio.timeout(_SECONDS_TO_CONNECT):
                    await asyncio.get_running_loop().sock_connect(opened, (text, port))
                return opened
            except (TimeoutError, OSError) as error:
                problem = type(error).__name__
                opened.close()
            except BaseException:
                opened.close()
                raise
        raise Retryable(f"{host} cannot be connected to: {problem}")


def is_outside(address: Address) -> bool:
    """Whether it is on the open internet, whatever it is wrapped in, and is not this machine."""
    for each in _meant(address):
        if not each.is_global or each.is_multicast or each.is_reserved or each.is_unspecified:
            return False
    return not _is_ours(address)


def _meant(address: Address) -> Sequence[Address]:
    """The address, and IPv4 addresses it carries within."""
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    carried: list[Address] = [address]
    if address.sixtofour is not None:
        carried.append(address.sixtofour)
    if address.teredo is not None:
        carried += address.teredo
    if address in _LOCAL_NAT64:
        carried.append(ipaddress.IPv4Address("127.0.0.1"))  # whose it is only this network knows
    if address in _NAT64 or address.packed[:12] == bytes(12):
        carried.append(ipaddress.IPv4Address(address.packed[12:]))
    return carried


def _is_ours(address: Address) -> bool:
    """Whether it is an address of this machine: what is sent there comes from there. Nothing is sent."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(address), 9))
        except OSError:
            return False
        return bool(ipaddress.ip_address(probe.getsockname()[0].partition("%")[0]) == address)


def _literal(host: str) -> list[Address]:
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        return []


def _resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
