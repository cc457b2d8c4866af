"""Asks a worker pool what its workers have, as Beam asks them for work: by a bundle whose one step says it.

A pool answers whether or not the Python that it starts has Beam or Clipscout; a job would wait for ever, or fail
minutes later with a traceback.
"""

import logging
import queue
import re
import uuid
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import apache_beam
import grpc
from apache_beam.internal import pickler
from apache_beam.portability import common_urns, python_urns
from apache_beam.portability.api import (
    beam_fn_api_pb2,
    beam_fn_api_pb2_grpc,
    beam_runner_api_pb2,
    endpoints_pb2,
)

from clipscout import __version__
from clipscout.pipeline.reasons import first_line, of_call
from clipscout.transforms.core import tally

#: A worker has to import Beam first, on a machine that may be busy.
_PATIENCE_SECONDS = 20.0
_MARK = "clipscout-asks"
_log = logging.getLogger(__name__)
#: Runs on the worker, where this package may not be.
_QUESTION = f"""
import apache_beam
try:
    from clipscout import __version__ as own
except ImportError:
    own = "none"
raise RuntimeError(f"{_MARK} beam={{apache_beam.__version__}} own={{own}} .")
"""


class _Ask:
    """What runs the question where it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, (_QUESTION,)


def fault(address: str) -> str:
    """Returns why workers of a pool cannot run the job; empty where they can, or do not say.

    Args:
      address: The pool's, on this machine.
    """
    answers: queue.Queue[str] = queue.Queue()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    beam_fn_api_pb2_grpc.add_BeamFnControlServicer_to_server(_Control(answers), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    worker = f"{_MARK}-{uuid.uuid4().hex}"
    endpoint = endpoints_pb2.ApiServiceDescriptor(url=f"localhost:{port}")
    try:
        with grpc.insecure_channel(address) as channel:
            pool = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
            request = beam_fn_api_pb2.StartWorkerRequest(worker_id=worker, control_endpoint=endpoint)
            refused = pool.StartWorker(request, timeout=_PATIENCE_SECONDS).error
            if refused:
                return f"starts no worker: {refused.strip().splitlines()[-1]}"
            try:
                with tally.doing(f"asking the worker pool at {address} what its workers have", slow_seconds=5):
                    return _judged(answers.get(timeout=_PATIENCE_SECONDS))
            except queue.Empty:  # a container's pool starts what a job alone can answer
                told = (
                    "the worker pool at %s starts workers that do not say within %.0f s which Beam they have; if the "
                )
                _log.warning(f"{told}job does not begin, look whether its `python` has one", address, _PATIENCE_SECONDS)
                return ""
            finally:
                pool.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id=worker), timeout=_PATIENCE_SECONDS)
    except grpc.RpcError as error:
        return f"does not answer as a worker pool ({of_call(error)})"
    finally:
        server.stop(None)


def _judged(answer: str) -> str:
    told = re.search(rf"{_MARK} beam=(\S+) own=(\S+) \.", answer)
    if told is None:  # of a version that does not even get so far
        return f"has workers of another Beam: {first_line(answer[-200:]) or 'they say nothing'}"
    if told[1] != apache_beam.__version__:
        return f"has workers with Beam {told[1]}, and this program has {apache_beam.__version__}"
    if told[2] == "none":
        return f"has workers whose Python lacks Clipscout: install clipscout {__version__} there"
    return "" if told[2] == __version__ else f"has workers with Clipscout {told[2]}, and this program is {__version__}"


class _Control(beam_fn_api_pb2_grpc.BeamFnControlServicer):
    """Gives a worker the one bundle."""

    def __init__(self, answers: "queue.Queue[str]") -> None:
        self._answers = answers

    def Control(self, responses: Any, _: Any) -> Iterator[beam_fn_api_pb2.InstructionRequest]:  # noqa: N802
        """Asks, and waits for what is said."""
        bundle = beam_fn_api_pb2.ProcessBundleRequest(process_bundle_descriptor_id=_MARK)
        yield beam_fn_api_pb2.InstructionRequest(instruction_id=_MARK, process_bundle=bundle)
        for response in responses:
            if response.instruction_id == _MARK:
                self._answers.put(response.error)
                return

    def GetProcessBundleDescriptor(self, *_: Any) -> beam_fn_api_pb2.ProcessBundleDescriptor:  # noqa: N802
        """Returns a step whose function cannot be unpickled without an answer."""
        do_fn = beam_runner_api_pb2.FunctionSpec(urn=python_urns.PICKLED_DOFN_INFO, payload=pickler.dumps(_Ask()))
        payload = beam_runner_api_pb2.ParDoPayload(do_fn=do_fn).SerializeToString()
        spec = beam_runner_api_pb2.FunctionSpec(urn=common_urns.primitives.PAR_DO.urn, payload=payload)
        step = beam_runner_api_pb2.PTransform(unique_name=_MARK, spec=spec, inputs={"in": "in"})
        collections = {"in": beam_runner_api_pb2.PCollection(unique_name="in", coder_id="c", windowing_strategy_id="w")}
        return beam_fn_api_pb2.ProcessBundleDescriptor(id=_MARK, transforms={_MARK: step}, pcollections=collections)
