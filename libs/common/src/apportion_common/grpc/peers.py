"""Where a call comes from, as a key that rate limits of unauthenticated calls count by."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import unquote

IPV6_PREFIX_BITS: Final = 64
"""Whoever has one IPv6 address has its whole /64 (RFC 6177): all of it counts as one caller."""


def peer_key(peer: str) -> str:
    """Return the address in what grpc calls the peer, such as `ipv4:192.0.2.1:4711`, without its port.

    It is the address of the connection; what a header claims about it is not believed. Anything that is no IP address,
    such as a Unix socket, is its own key.
    """
    family, _, rest = unquote(peer).partition(":")
    host = rest.rpartition(":")[0].strip("[]").partition("%")[0]
    if family not in ("ipv4", "ipv6"):
        return peer
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, IPV6_PREFIX_BITS), strict=False))
    return str(address)
