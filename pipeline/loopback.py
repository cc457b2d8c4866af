"""Keeps the servers of a local run on this machine.

Beam's local runner talks to its worker processes over gRPC, without credentials, and listens on every network
interface; who reaches these ports could hand it pickled data.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import grpc

EVERYWHERE = "[::]:"
HERE = "127.0.0.1:"


@contextlib.contextmanager
def servers_stay_here() -> Iterator[None]:
    """While it holds, gRPC servers that this process starts for every interface are reached through loopback alone."""
    make = grpc.server

    def server(*arguments: Any, **settings: Any) -> grpc.Server:
        made = make(*arguments, **settings)
        listen = made.add_insecure_port
        made.add_insecure_port = lambda address: listen(address.replace(EVERYWHERE, HERE))
        return made

    grpc.server = server
    try:
        yield
    finally:
        grpc.server = make
