"""The job on Beam's portable runner with two worker processes, on gs://: as near to Dataflow as one machine comes.

What a step needs has to reach it as part of the graph or from gs://: the workers share neither a variable nor fetched
weights with the program that starts them. Their storage fails now and then, and they may be killed at any time.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clipscout.pipeline.run import main
from clipscout.transforms.core.storage import filesystem, gcs
from tests.cloud_servers import FAULTS, always, every
from tests.conftest import BUCKET
from tests.jobs import MANIFESTS, ROOT, assert_same_rows, scene_video
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

    Attributes:
      options: What leads a job there.
    """

    def __init__(self, log, cache):
        self._cache = str(cache)
        job, pool = (free_port() for _ in range(2))
        self._service = self._start("portability.local_job_service_main", f"--port={job}", log)
        self._pool = self._start("worker.worker_pool_main", f"--service_port={pool}", log)
        wait_for(job, self._service)
        wait_for(pool, self._pool)
        self.options = ["--runner=PortableRunner", f"--job_endpoint=localhost:{job}", "--environment_type=EXTERNAL"]
        self.options.append(f"--environment_config=localhost:{pool}")

    def _start(self, module, port, log):
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])  # the pool calls `python`
        command = [sys.executable, "-c", ON_LOOPBACK, f"apache_beam.runners.{module}", port]
        environment = {**os.environ, "PATH": path, "CLIPSCOUT_CACHE": self._cache}
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

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


@pytest.fixture
def cluster(cloud, tmp_path):
    with open(tmp_path / "cluster.log", "w+") as log:
        running = Cluster(log, tmp_path / "workers")
        yield running
        running.close()
        log.seek(0)
        print(log.read())  # pytest shows it where the test failed


@pytest.fixture
def job(cloud, tmp_path, colour_spec, monkeypatch):
    """Arguments but for the output, all on gs://, and the listing and manifests of the local runner's output."""
    monkeypatch.setenv("CLIPSCOUT_CACHE", str(tmp_path / "launcher"))
    rows = [{"action": colour, "path": f"gs://{BUCKET}/in/*.mp4"} for colour in ("red", "blue", "pink")]
    filesystem.write_bytes(f"gs://{BUCKET}/queries.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    for name, start in (("a", 1), ("b", 2), ("c", 3), ("d", 4)):
        scene_video(tmp_path / f"{name}.mp4", ("grey", start), ("red", 1), ("blue", 1), ("grey", 6 - start))
        filesystem.move_in(str(tmp_path / f"{name}.mp4"), f"gs://{BUCKET}/in/{name}.mp4")
    filesystem.write_bytes(f"gs://{BUCKET}/in/e.mp4", b"not a video")
    for path in Path(colour_spec).parent.iterdir():
        filesystem.write_bytes(f"gs://{BUCKET}/models/{path.name}", path.read_bytes())
    given = [f"--input=gs://{BUCKET}/queries.jsonl", "--clip_seconds=2", "--min_score=0.5", "--shots=ignore"]
    given.append("--progress=none")  # on a busy machine it would stand among what is compared
    assert main([*given, f"--classifier={colour_spec}", f"--output={tmp_path}/local"]) == 0
    given.append(f"--classifier=gs://{BUCKET}/models/{Path(colour_spec).name}")
    manifests = {name: (tmp_path / "local" / name).read_text() for name in MANIFESTS}
    assert len(manifests["spans.jsonl"].splitlines()) == 8
    return given, filesystem.list_files(f"{tmp_path}/local"), manifests


def test_two_workers_give_the_rows_of_the_local_runner(cloud, cluster, job, tmp_path, monkeypatch, capsys):
    """Input, weights and output are on gs://, and every fifth request fails."""
    given, files, manifests = job
    output, working, faulty, fault_of = f"gs://{BUCKET}/results", set(), set(), every(5)
    monkeypatch.setattr(gcs, "_FIRST_WAIT_SECONDS", 0.02)  # the launcher's; workers wait as long as they always do
    cloud.forget()

    def look(kind, name):
        working.update(cluster.working())
        fault = fault_of(kind, name)
        if fault:
            faulty.add((kind, name))
        return fault

    cloud.schedule = look  # at each request
    status = main([*given, f"--output={output}", *cluster.options])
    cloud.schedule = always("")
    assert status == 0
    assert len(working) == 2
    assert "models-loaded 2" in capsys.readouterr().out  # both scored
    assert cloud.faults() == set(FAULTS)
    assert ("read", "models/colours.json") in faulty  # by the launcher
    assert any(kind == "upload" and name.startswith("results/clips/") for kind, name in faulty)  # by workers
    assert [path.suffix for path in (tmp_path / "workers/weights").iterdir() if path.suffix != ".lock"] == [".pt"]
    for name, text in manifests.items():
        assert_same_rows(filesystem.read_bytes(f"{output}/{name}").decode(), text)
    assert filesystem.list_files(output) == files


def test_after_workers_were_killed_the_same_command_completes_the_job(cloud, cluster, job, capsys):
    given, files, manifests = job
    output, killed = f"gs://{BUCKET}/results", []

    def kill(kind, name):
        if kind == "upload" and name.startswith("results/clips/") and name.endswith(".mp4") and not killed:
            killed.extend(cluster.working())
            cluster.kill_workers()
            return "reset"
        return ""

    cloud.schedule = kill  # workers that cut, when the first clip is on its way
    assert main([*given, f"--output={output}", *cluster.options]) == 1
    *ahead, line = capsys.readouterr().err.splitlines()
    assert all("1 of 3 rows cannot be used" in text for text in ahead), ahead
    assert line.startswith("clipscout: ")
    assert killed
    left = set(filesystem.list_files(output))
    assert left < set(files)
    assert "summary.json" not in left
    cloud.schedule = always("")
    assert main([*given, f"--output={output}", *cluster.options]) == 0
    assert filesystem.list_files(output) == files
    for name, text in manifests.items():
        assert_same_rows(filesystem.read_bytes(f"{output}/{name}").decode(), text)
