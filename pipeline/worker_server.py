"""What forks the worker processes of a local run: N of them cost one import of Beam and torch, and share its memory.

No Beam import here: the server imports beside the program, not after it.
"""

import atexit
import contextlib
import json
import os
import tempfile
import threading
from collections.abc import Sequence
from functools import lru_cache

from clipscout.pipeline import options
from clipscout.transforms.core.child.fork_server import Forked, ForkServer

_MAIN = "clipscout.pipeline.worker:main"
_IMPORTED = ("clipscout.pipeline.graph", "torchvision")
_PATIENCE_SECONDS = 600.0  # to import torch from a cold disk
_FORKING = threading.Lock()


def start_ahead(argv: Sequence[str]) -> None:
    """Lets the imports begin, where arguments that nobody has judged yet ask for worker processes of a local run."""
    with contextlib.suppress(options.UsageError):
        values = options.parsed(options.parser(), options.with_flags_spelled_out(list(argv))).values
        if values.runner in (None, options.LOCAL_RUNNER) and values.workers not in (None, "1"):
            _server(*_shaping())


def start(environment: dict[str, str]) -> Forked:
    """Starts a worker process, with this environment variables besides those of this process.

    Raises:
      OSError: The server was killed, or ran out of memory.
    """
    own = json.dumps({**os.environ, **environment})  # a variable that is no text is escaped, and comes back as it was
    with tempfile.TemporaryFile() as file, open(os.devnull, "w") as log:
        file.write(own.encode())
        file.seek(0)
        with _FORKING:  # one server for all who begin at once
            try:
                return _server(*_shaping()).start(file.fileno(), log.fileno())
            except OSError:
                _server.cache_clear()
                raise


def _shaping() -> tuple[str, str]:
    """Returns what a process reads at its beginning: from where modules of the user's are imported."""
    return os.getcwd(), os.environ.get("PYTHONPATH", "")


@lru_cache(maxsize=1)
def _server(*_: str) -> ForkServer:
    """Returns the server for jobs that import from the same places."""
    server = ForkServer(_MAIN, _IMPORTED, os.environ, _PATIENCE_SECONDS)
    atexit.register(server.close)
    return server
