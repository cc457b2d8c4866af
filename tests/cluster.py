"""A job service and a pool of workers, each a process on this machine: what a portable runner needs."""

import os
import signal
import socket
import subprocess
import sys
import time

from tests.jobs import ROOT
from tests.programs import parents_by_process

# Beam's stand-in of a service forgets how many workers were asked for
ON_LOOPBACK = """
import runpy, socket, sys
from clipscout.pipeline import loopback

socket.getfqdn = lambda *_: "localhost"
sys.argv = sys.argv[1:]
if "job_service" in sys.argv[0]:
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    begin = FnApiRunner.__init__

    def begin_with_two_workers(self, *args, **settings):
        begin(self, *args, **settings)
        self._num_workers = 2

    FnApiRunner.__init__ = begin_with_two_workers
with loopback.servers_stay_here():
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


class Cluster:
    """A job service and a pool of workers, each a process on this machine; the workers are children of the pool.

    Args:
      log: The file that they print to.
      cache: The folder for weights that workers fetch.
      service: Gives the command of a job service on a port; Beam's own in Python where it is None.

    Attributes:
      options: What leads a job there.
    """

    def __init__(self, log, cache, service=None):
        self._cache, self._log = str(cache), log
        job, pool = (free_port() for _ in range(2))
        command = service(job) if service else beams_own("portability.local_job_service_main", f"--port={job}")
        self._service = self._start(command)
        self._pool = self._start(beams_own("worker.worker_pool_main", f"--service_port={pool}"))
        wait_for(job, self._service)
        wait_for(pool, self._pool)
        self.options = ["--runner=PortableRunner", f"--job_endpoint=localhost:{job}", "--environment_type=EXTERNAL"]
        self.options += [f"--environment_config=localhost:{pool}", "--shared_output"]

    def _start(self, command):
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])  # the pool calls `python`
        environment = {**os.environ, "PATH": path, "CLIPSCOUT_CACHE": self._cache}
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=self._log, stderr=self._log)

    def servers(self):
        """Returns the process ids of the service and of the pool."""
        return [self._service.pid, self._pool.pid]

    def workers(self):
        """Returns the process ids of the workers, of ended ones too."""
        return {process for process, parent in parents_by_process().items() if parent == self._pool.pid}

    def working(self):
        """Returns those that have a child of their own: they decode, score or cut."""
        return self.workers() & {*parents_by_process().values()}

    def kill_workers(self):
        for worker in self.workers():
            os.kill(worker, signal.SIGKILL)

    def close(self):
        self.kill_workers()
        for process in (self._pool, self._service):
            process.kill()
            process.wait()


def beams_own(module, port):
    """Returns the command of a server in Python that comes with Beam, on loopback alone."""
    return [sys.executable, "-c", ON_LOOPBACK, f"apache_beam.runners.{module}", port]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def wait_for(port, process, seconds=60):
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert process.poll() is None, f"the server ended with status {process.returncode}"
            assert time.monotonic() < end, f"no answer within {seconds} s"
            time.sleep(0.05)
