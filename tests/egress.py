"""A guard for the whole suite: a process of it that tries to reach another machine is refused, and its test fails.

`watch` adds an audit hook to this process; `plugins/sitecustomize.py`, on the PYTHONPATH of all children, does so in
theirs. Each attempt is refused and leaves a line in the file that the environment variable names; `conftest.py` fails
the test during which the file grew. Tests that name foreign addresses pass, as long as nothing is tried: a literal
address may be parsed, a name may not be looked up.

Audit events come from Python's own socket module. What C libraries (gRPC, FFmpeg) and other programs (deno) do is not
seen; nor is the look-up within `connect`, where it is given a name instead of an address (the connection is).
"""

import os
import sys

LOG = "CLIPSCOUT_TEST_EGRESS_LOG"
_BY_ADDRESS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_BY_NAME = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"}
_LITERALS_ARE_LOOKED_UP = {"socket.gethostbyaddr", "socket.getnameinfo"}
_watched = _BY_ADDRESS | _BY_NAME
_seen_bytes = 0


def watch():
    """Refuses, in this process and for good, whatever would leave the machine."""
    sys.addaudithook(_hook)


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
    if host is None or _stays_here(host, event):
        return
    line = f"process {os.getpid()} ({' '.join(sys.orig_argv)[:300]}): {event} {arguments[-5:]!r}\n"
    log = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, line.encode(errors="backslashreplace"))
    os.close(log)
    raise PermissionError(f"no test may reach {host}")


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
