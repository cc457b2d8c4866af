"""What reaches the terminal of what Beam logs: no advice to its developers, and nothing that one line of ours tells."""

import contextlib
import logging
import sys
from typing import Any

from apache_beam.runners.worker import sdk_worker

#: What they log is raised too, and told in one line.
_RAISED_TOO = (
    "apache_beam.runners.common",
    "apache_beam.runners.dataflow.internal.apiclient",
    "apache_beam.runners.portability.local_job_service",
    "apache_beam.runners.portability.fn_api_runner.worker_handlers",
    "apache_beam.runners.worker.data_plane",
    "apache_beam.runners.worker.sdk_worker",
    "apache_beam.utils.subprocess_server",
    "PrismJobServer",  # also what Prism says of its workers
    "FlinkJarJobServer",
    "SparkJarJobServer",
)
#: Logs what a job service says under no name of its own; how a job ends is raised.
_JOB_MESSAGES = "portable_runner"


def log_to_stderr() -> None:
    """Lets warnings and errors be logged where they are news."""
    logging.basicConfig(level=logging.ERROR, handlers=[_CurrentStderr()])  # the root logger gets advice
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    for name in _RAISED_TOO:
        logging.getLogger(name).disabled = True
    # a worker within this program prints what it gives to its runner
    sdk_worker.print = _nothing


def _nothing(*_: Any, **__: Any) -> None:
    pass


class _CurrentStderr(logging.Handler):
    """Logs to what stderr is when a record comes: above the live display, while there is one."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self.addFilter(lambda record: record.module != _JOB_MESSAGES)

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record, where somebody can still read it."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"{self.format(record)}\n")
