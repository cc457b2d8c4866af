"""Worker processes of the local runner that end with the program, silently, and leave Ctrl-C to it.

Beam's own are started through a shell, import all that this program has imported already, print a traceback each when
the terminal interrupts them, and outlive a program that is killed until they notice that their connection is gone.
"""

import contextlib
import ctypes
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.portability import python_urns
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.fn_api_runner.worker_handlers import GrpcWorkerHandler, WorkerHandler
from apache_beam.runners.worker import sdk_worker_main
from google.protobuf import json_format, text_format

from clipscout.pipeline import parents, reasons, worker_server

_WAITS_FOR_PROCESS = "run_worker"
_BEAMS_THREADS = ("read_grpc_client_inputs", "beam_", "wait_until_finish", "read_state")
_FORKED_WORKER = "clipscout:env:forked_worker:v1"
_NAME = b"clipscout-work"
_PR_SET_NAME = 15  # sys/prctl.h


class WorkerProcesses(FnApiRunner):
    """Beam's local runner, whose worker processes are started by this module."""

    def run_via_runner_api(self, pipeline_proto: Any, options: Any) -> Any:
        """Runs a pipeline; its workers are forked, and not started by Beam's own command."""
        for environment in pipeline_proto.components.environments.values():
            if environment.urn == python_urns.SUBPROCESS_SDK:
                environment.urn, environment.payload = _FORKED_WORKER, b""
        return super().run_via_runner_api(pipeline_proto, options)


@WorkerHandler.register_environment(_FORKED_WORKER, bytes)
class _ForkedWorker(GrpcWorkerHandler):
    """One worker process, as Beam's runner handles it."""

    def __init__(self, _: bytes, state: Any, provision_info: Any, grpc_server: Any) -> None:
        super().__init__(state, provision_info, grpc_server)

    def start_worker(self) -> None:
        """Starts it, and a thread that waits for its end."""
        control = self.control_api_service_descriptor()
        options = self.provision_info.provision_info.pipeline_options
        more = {
            "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(control),
            "PIPELINE_OPTIONS": json_format.MessageToJson(options),
            "WORKER_ID": self.worker_id,
        }
        self._thread = threading.Thread(name=_WAITS_FOR_PROCESS, target=_run_worker, args=(more,))
        self._thread.start()

    def stop_worker(self) -> None:
        """Waits until it has ended."""
        self._thread.join()


def _run_worker(environment: dict[str, str]) -> None:
    """Runs a worker process until its end.

    Raises:
      RuntimeError: It did not end by itself.
    """
    if status := worker_server.start(environment).wait():
        raise RuntimeError(f"a worker process ended with status {status}")


@contextlib.contextmanager
def broken_connections_are_silent(on_death: Callable[[], None]) -> Iterator[None]:
    """While it holds, Beam's threads that wait for a worker process say nothing when it dies; and after, where one did.

    Args:
      on_death: Called then, in such a thread: where nothing was asked of the process yet, Beam waits for it for ever.
    """
    tell, is_told = threading.excepthook, False

    def hook(caught: threading.ExceptHookArgs) -> None:
        name = "" if caught.thread is None else caught.thread.name
        if name.startswith(_WAITS_FOR_PROCESS):
            if not is_told:
                on_death()
        elif not name.startswith(_BEAMS_THREADS):
            tell(caught)

    threading.excepthook = hook
    try:
        yield
    except RuntimeError as error:
        is_told = reasons.is_worker_gone(str(error))
        raise
    finally:
        if threading.excepthook is hook and not is_told:
            threading.excepthook = tell


def main(descriptor: int) -> None:
    """Works for the program until either ends; the descriptor is of a file with its environment."""
    parents.end_with(os.getppid(), signal.SIGKILL)  # the fork server's, which ends with the program
    ctypes.CDLL(None).prctl(_PR_SET_NAME, _NAME)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with open(descriptor, "rb") as file:
        environment = json.load(file)
    os.environ.clear()
    os.environ.update(environment)
    # it warns of a folder that only containers have
    logging.getLogger(sdk_worker_main.__name__).setLevel(logging.ERROR)
    sdk_worker_main.main([])
