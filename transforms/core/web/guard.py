"""A socket guard for the downloading child: no connection to an address that is not on the public internet.

It sits below every HTTP library, where names are resolved already, so that redirects, page embeds and DNS tricks meet
it too.
"""

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class RefusedAddressError(OSError):
    """A connection to a private, loopback or link-local address was refused."""


def is_public(host: str) -> bool:
    """Tells whether a literal address may be contacted."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if address in _NAT64:
        address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    special = address.is_multicast or address.is_reserved or getattr(address, "is_site_local", False)
    return address.is_global and not special and (mapped is None or mapped.is_global)


def install(allowed_hosts: Iterable[str] = ()) -> None:
    """Refuses, in this process and for good, connections to addresses that are not public.

    Args:
      allowed_hosts: Names or addresses that may be contacted all the same, e.g. the user's own proxy.
    """
    if getattr(socket.socket.connect, "is_guard", False):
        return
    allowed = {info[4][0] for host in allowed_hosts for info in _resolve(host)}
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def check(sock: socket.socket, address: Any) -> None:
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return
        host = str(address[0])
        literal = [host] if _is_literal(host) else [info[4][0] for info in _resolve(host)]
        for found in literal:
            if found not in allowed and not is_public(found):
                raise RefusedAddressError(f"clipscout refuses to connect to {host} ({found}): not a public address")

    def guarded_connect(sock: socket.socket, address: Any) -> None:
        check(sock, address)
        connect(sock, address)

    def guarded_connect_ex(sock: socket.socket, address: Any) -> int:
        check(sock, address)
        return connect_ex(sock, address)

    guarded_connect.is_guard = True  # type: ignore[attr-defined]
    socket.socket.connect = guarded_connect  # type: ignore[method-assign, assignment]
    socket.socket.connect_ex = guarded_connect_ex  # type: ignore[method-assign, assignment]


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _resolve(host: str) -> list[Any]:
    try:
        return socket.getaddrinfo(host, None)
    except OSError:
        return []
