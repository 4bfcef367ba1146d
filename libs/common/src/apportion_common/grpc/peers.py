"""Where a call comes from, as a key that rate limits of unauthenticated calls count by."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import unquote

IPV6_PREFIX_BITS: Final = 64
"""Whoever has one IPv6 address has its whole /64 (RFC 6177): all of it counts as one caller."""


Connection = tuple[str, int]
"""The address and port that a connection comes from."""


def connection_of(peer: str) -> Connection | None:
    """Return where the connection comes from that grpc calls `ipv4:192.0.2.1:4711`; None for what is no IP address."""
    family, _, rest = unquote(peer).partition(":")
    host, _, port = rest.rpartition(":")
    address = _address(host) if family in ("ipv4", "ipv6") else None
    return None if address is None or not port.isdecimal() else (str(address), int(port))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address without the dress that IPv6 may put on an IPv4 one."""
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def peer_key(peer: str) -> str:
    """Return the address in what grpc calls the peer, such as `ipv4:192.0.2.1:4711`, without its port.

    It is the address of the connection; what a header claims about it is not believed. Anything that is no IP address,
    such as a Unix socket, is its own key.
    """
    family, _, rest = unquote(peer).partition(":")
    address = _address(rest.rpartition(":")[0]) if family in ("ipv4", "ipv6") else None
    if address is None:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, IPV6_PREFIX_BITS), strict=False))
    return str(address)
