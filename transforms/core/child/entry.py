"""The inside of a supervised child: `python -m clipscout.transforms.core.child.entry DESCRIPTOR`.

The first message sets its memory cap and where it may write. Then it reads one request at a time, runs the task and
sends what it yields. A sender thread with a bounded queue lets the task run ahead of the parent, so that decoding goes
on while the parent is busy with inference.
"""

import importlib
import json
import os
import queue
import resource
import select
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from clipscout.transforms.core.child import confinement
from clipscout.transforms.core.child.protocol import Item, TaskError
from clipscout.transforms.core.storage.errors import DISK_FULL, disk_full_message

_AHEAD_BYTES = 64 << 20
_AHEAD_MESSAGES = 8


class _Sender:
    """Sends messages from its own thread, at most `_AHEAD_MESSAGES` or `_AHEAD_BYTES` behind the task."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._queue: queue.Queue[tuple[dict[str, Any], Any]] = queue.Queue(_AHEAD_MESSAGES)
        self._room = threading.Condition()
        self._bytes = 0
        threading.Thread(target=self._run, daemon=True).start()

    def put(self, header: dict[str, Any], payload: Any = None) -> None:
        size = _size(payload)
        with self._room:
            while self._bytes and self._bytes + size > _AHEAD_BYTES:
                self._room.wait()
            self._bytes += size
        self._queue.put((header, payload))

    def _run(self) -> None:
        while True:
            header, payload = self._queue.get()
            try:
                self._connection.send_bytes(json.dumps({**header, "payload": _size(payload)}).encode())
                if _size(payload):
                    self._connection.send_bytes(payload)
            except OSError:  # the parent is gone or no longer interested
                os.killpg(0, signal.SIGKILL)
            with self._room:
                self._bytes -= _size(payload)
                self._room.notify()


def _size(payload: Any) -> int:
    return memoryview(payload).nbytes if payload is not None else 0


def main(descriptor: int) -> None:
    """Serves requests until the parent closes the connection."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection = Connection(descriptor)
    try:
        rule = json.loads(connection.recv_bytes())
    except EOFError:
        return
    if rule["folder"] is not None:
        confinement.confine(rule["folder"])
        tempfile.tempdir = rule["folder"] or os.devnull  # to look for a place would be to write
    # not before: threads are confined by the one that starts them
    _die_with_parent(descriptor)
    sender = _Sender(connection)
    resource.setrlimit(resource.RLIMIT_DATA, (rule["memory_bytes"],) * 2)
    sender.put({"is": "ready"})
    while True:
        try:
            call = json.loads(connection.recv_bytes())
        except EOFError:
            return
        _serve(sender, call["task"], call["request"])


def _serve(sender: _Sender, task: str, request: dict[str, Any]) -> None:
    try:
        for fields, payload in _find(task)(request):
            sender.put({"is": "item", "fields": fields}, payload)
        sender.put({"is": "done"})
    except TaskError as error:
        sender.put({"is": "error", "code": error.code, "message": str(error)})
    except OSError as error:
        message = disk_full_message(error, tempfile.gettempdir())
        if not message:
            raise
        sender.put({"is": "error", "code": DISK_FULL, "message": message})
    except MemoryError as error:
        sender.put({"is": "memory", "code": "memory", "message": f"memory cap reached: {error!r}"})


def _find(task: str) -> Callable[[dict[str, Any]], Iterator[Item]]:
    module, _, function = task.partition(":")
    return getattr(importlib.import_module(f"clipscout.transforms.core.{module}"), function)


def _die_with_parent(descriptor: int) -> None:
    """Ends this process and all it started once the parent's end of the connection is gone."""

    def watch() -> None:
        poll = select.poll()
        poll.register(descriptor, 0)  # hang-up is always reported; nothing else wakes it
        poll.poll()
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
