"""A lease on an output: one run at a time holds it, and one that is killed does not keep it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from clipscout.transforms.core.storage import filesystem, gcs, leases, updates
from clipscout.transforms.core.storage.leases import HeldError, Lease
from tests.cloud_servers import script
from tests.conftest import BUCKET
from tests.jobs import ROOT


@pytest.fixture(params=["local", "gs"])
def output(request, tmp_path):
    if request.param == "local":
        return str(tmp_path / "out")
    request.getfixturevalue("cloud")
    return f"gs://{BUCKET}/out"


def lease_on(output):
    return Lease(output, on_lost=pytest.fail)


def record_of(output):
    return json.loads(filesystem.read_bytes(filesystem.join(output, leases._NAME)))


def changed(output, **fields):
    """Puts other facts into the record of whoever holds the lease."""
    record = json.dumps({**record_of(output), **fields}).encode()
    filesystem.write_bytes(filesystem.join(output, leases._NAME), record)


def test_a_lease_is_held_by_one_and_leaves_nothing(output):
    assert leases.holder(output) == ""
    with lease_on(output):
        told = leases.holder(output)
        assert told.startswith(f"another run writes to {output!r} (process {os.getpid()} on ")
        with pytest.raises(HeldError) as caught, lease_on(output):
            pass
        assert str(caught.value) == told
    assert filesystem.list_files(output) == []
    with lease_on(output):
        pass


def test_of_many_that_want_an_expired_lease_at_once_one_gets_it(output):
    with lease_on(output):
        changed(output, run="gone", expires=0)
        start, over, got = threading.Barrier(6), threading.Event(), []

        def take():
            start.wait()
            try:
                with lease_on(output):
                    got.append(True)
                    over.wait(30)
            except HeldError:
                got.append(False)

        threads = [threading.Thread(target=take) for _ in range(6)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 30
        while len(got) < 6 and time.monotonic() < end:
            time.sleep(0.01)
        over.set()
        for thread in threads:
            thread.join()
    assert sorted(got) == [False] * 5 + [True]


def test_a_lease_of_another_machine_holds_until_it_expires(output):
    with lease_on(output):
        changed(output, run="other", machine="other", process="gone")
        assert leases.holder(output).endswith("; a killed one is forgotten after 90 s")
        with pytest.raises(HeldError), lease_on(output):
            pass
        changed(output, expires=time.time() - 1)
        assert leases.holder(output) == ""
        with lease_on(output):
            assert record_of(output)["run"] != "other"


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"run": "a"}', b""], ids=["cut off", "no object", "other", "empty"])
def test_a_damaged_lease_holds_nobody(output, data):
    filesystem.write_bytes(filesystem.join(output, leases._NAME), data)
    assert leases.holder(output) == ""
    with lease_on(output):
        assert leases.holder(output)


def test_a_killed_process_holds_nothing(output):
    program = (
        "import sys, time\nfrom transforms.core.storage.leases import Lease\n"
        "with Lease(sys.argv[1], on_lost=print):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, output], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        assert f"process {process.pid} " in leases.holder(output)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert leases.holder(output) == ""
    with lease_on(output):
        pass


def test_a_number_that_another_process_has_now_is_not_the_run(output):
    with lease_on(output):
        changed(output, run="earlier", process="another start")
        assert leases.holder(output) == ""


def test_a_lease_is_renewed(output, monkeypatch):
    monkeypatch.setattr(leases, "_RENEW_SECONDS", 0.05)
    with lease_on(output):
        first, end = record_of(output)["expires"], time.monotonic() + 20
        while record_of(output)["expires"] == first:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_a_run_that_lost_its_lease_is_told_and_takes_nothing_away(output, monkeypatch):
    monkeypatch.setattr(leases, "_RENEW_SECONDS", 0.05)
    lost = threading.Event()
    with Lease(output, lost.set):
        changed(output, run="other", machine="other")
        assert lost.wait(20)
    assert record_of(output)["run"] == "other"


def test_an_answer_that_is_lost_is_no_other_run(cloud, monkeypatch):
    monkeypatch.setattr(gcs, "_FIRST_WAIT_SECONDS", 0.02)
    gcs._cloud.cache_clear()
    output = f"gs://{BUCKET}/out"
    cloud.schedule = script(upload=["lost"], delete=["lost"], facts=["503"])
    with lease_on(output):
        assert leases.holder(output)
    assert filesystem.list_files(output) == []
    assert {fault for fault, _ in cloud.injected} == {"lost", "503"}


def test_no_change_is_lost_between_many_programs(output):
    uri = filesystem.join(output, "count")

    def count():
        for _ in range(5):
            updates.update(uri, lambda data: str(int(data or b"0") + 1).encode())

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert filesystem.read_bytes(uri) == b"20"


def test_a_bucket_that_is_not_there_is_told(cloud):
    with pytest.raises(filesystem.StorageError, match="the bucket no-such-bucket does not exist"):
        updates.update("gs://no-such-bucket/file", lambda _: b"x")


@pytest.mark.parametrize(
    "fields",
    [
        {"expires": "soon"},
        {"expires": None},
        {"pid": 10**15},
        {"pid": 10**30},
        {"since": 1e308},
        {"host": []},
        {"more": 1},
    ],
    ids=str,
)
def test_a_lease_that_no_run_wrote_holds_nobody(tmp_path, fields):
    output = str(tmp_path / "out")
    with lease_on(output):
        held = {**record_of(output), **fields}
    filesystem.write_bytes(filesystem.join(output, leases._NAME), json.dumps(held).encode())
    told = leases.holder(output)
    assert bool(told) == ("more" in fields)  # what a later version adds does not free it
    if not told:
        with lease_on(output):
            pass
