"""A guard for the whole suite: a process of it that tries to reach another machine is refused, and its test fails.

`watch` adds an audit hook to this process; `plugins/sitecustomize.py`, on the PYTHONPATH of all children, does so in
theirs. Each attempt is refused and leaves a line in the file that the environment variable names; `conftest.py` fails
the test during which the file grew. Tests that name foreign addresses pass, as long as nothing is tried: a literal
address may be parsed, a name may not be looked up.

Audit events come from Python's own socket module. gRPC's C core has sockets of its own: a channel of it to another
machine is refused when it is made. What other C libraries (FFmpeg) and programs (deno) do is not seen; nor is the
look-up within `connect`, where it is given a name instead of an address (the connection is).
"""

import os
import re
import sys
from importlib.machinery import PathFinder

LOG = "CLIPSCOUT_TEST_EGRESS_LOG"
_BY_ADDRESS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_BY_NAME = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"}
_LITERALS_ARE_LOOKED_UP = {"socket.gethostbyaddr", "socket.getnameinfo"}
_watched = _BY_ADDRESS | _BY_NAME
_GRPC = "grpc._cython.cygrpc"  # makes all channels, those of asyncio too
_seen_bytes = 0


def watch():
    """Refuses, in this process and for good, whatever would leave the machine."""
    sys.addaudithook(_hook)
    sys.meta_path.insert(0, _FindsGrpc)
    if _GRPC in sys.modules:
        _watch_channels(sys.modules[_GRPC])


def new_lines():
    """Returns the attempts of all processes since the last call."""
    global _seen_bytes
    with open(os.environ[LOG], "rb") as log:
        log.seek(_seen_bytes)
        found = log.read()
    _seen_bytes += len(found)
    return found.decode(errors="replace").splitlines()


def _hook(event, arguments):
    if event not in _watched:
        return
    host = _host(event, arguments)
    if host is not None and not _stays_here(host, event):
        _refuse(host, event, arguments)


def _refuse(host, event, arguments):
    line = f"process {os.getpid()} ({' '.join(sys.orig_argv)[:300]}): {event} {arguments[-5:]!r}\n"
    log = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, line.encode(errors="backslashreplace"))
    os.close(log)
    raise PermissionError(f"no test may reach {host}")


class _FindsGrpc:
    """Watches the channels of gRPC's C core as soon as something imports it; most processes never do."""

    @staticmethod
    def find_spec(name, path, target=None):
        spec = PathFinder.find_spec(name, path, target) if name == _GRPC else None
        if spec is not None:
            load = spec.loader.exec_module

            def load_watched(module):
                load(module)
                _watch_channels(module)

            spec.loader.exec_module = load_watched
        return spec


def _watch_channels(core):
    """Puts classes that refuse what leads away in the place of those of gRPC's C core."""
    for name in ("Channel", "AioChannel"):
        setattr(core, name, _watched_channel(getattr(core, name)))


def _watched_channel(made):
    class Channel(made):
        def __new__(cls, target, *more):
            text = target.decode(errors="replace")
            # what is written otherwise, as a list of addresses or with a name server, counts as far
            place = re.fullmatch(r"(?:dns:(?:///)?|ipv4:|ipv6:)?(?:\[([^]]*)\]|([^:/,\[\]]+))(?::\w*)?", text)
            host = (place[1] or place[2]) if place else text
            if not text.startswith(("unix:", "unix-abstract:")) and not _stays_here(host, "a gRPC channel"):
                _refuse(host, "a gRPC channel", (text,))
            return super().__new__(cls, target, *more)

    return Channel


def _host(event, arguments):
    """Returns the host that is meant, or None where no other machine can be."""
    if event in _BY_NAME:
        host = arguments[0][0] if event == "socket.getnameinfo" else arguments[0]
    else:
        sock, address = arguments[:2]
        host = address[0] if int(sock.family) in (2, 10) and address else None  # IPv4 and IPv6; a pipe has a path
    return host.decode(errors="replace") if isinstance(host, bytes) else host


def _stays_here(host, event):
    import ipaddress

    if host in ("", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    only_parsed = event in _BY_NAME and event not in _LITERALS_ARE_LOOKED_UP
    return address.is_loopback or address.is_unspecified or only_parsed
