"""Fixtures that several tests share: a classifier that sees colours, Google's storage, a browser; and the summary."""

import atexit
import concurrent.futures.thread
import json
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import torch
from apache_beam.transforms import userstate

from clipscout.transforms.core.storage import copies, gcs
from tests import egress
from tests.browser import NO_CHROMIUM, opening, running_chromium
from tests.cloud_servers import google
from tests.colours import COLOURS, ColourModel, GridModel

# the search extractor of the loopback site, and the guard; children and worker processes find them too
PLUGINS = str(Path(__file__).parent / "plugins")
ROOT = str(Path(__file__).parents[1])  # so that they find classifiers of the tests as well
sys.path.insert(0, PLUGINS)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [PLUGINS, ROOT, os.environ.get("PYTHONPATH")]))
#: Which process of pytest-xdist this one is, or is a child of; each has a log of its own.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if os.environ.get("CLIPSCOUT_TEST_WORKER") != _WORKER:  # else a child of the suite imports this, and is watched already
    os.environ["CLIPSCOUT_TEST_WORKER"] = _WORKER
    os.environ[egress.LOG] = tempfile.mkstemp(prefix="clipscout-egress-")[1]
    atexit.register(os.unlink, os.environ[egress.LOG])
    egress.watch()
if "CLIPSCOUT_CACHE" not in os.environ:  # the user's own is left alone
    os.environ["CLIPSCOUT_CACHE"] = tempfile.mkdtemp(prefix="clipscout-cache-")
    atexit.register(shutil.rmtree, os.environ["CLIPSCOUT_CACHE"], ignore_errors=True)

# Beam reads the signatures of a DoFn's methods anew for each of its bundles: a quarter of a small job's time
_read_specs, _specs = userstate.get_dofn_specs, {}
userstate.get_dofn_specs = lambda dofn: _specs.get(type(dofn)) or _specs.setdefault(type(dofn), _read_specs(dofn))

BUCKET = "clipscout-test"


@pytest.fixture(scope="session")
def colour_spec(tmp_path_factory):
    """Path of a classifier spec with the labels red, green, blue and grey; real torch, a few numbers of weights."""
    folder = tmp_path_factory.mktemp("classifier")
    torch.save(ColourModel().state_dict(), folder / "model.pt")
    spec = {
        "architecture": "module:tests.colours:model",
        "weights": "model.pt",
        "labels": list(COLOURS),
        "resize": "squash",
        "input_width": 64,
        "input_height": 64,
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
    }
    (folder / "colours.json").write_text(json.dumps(spec))
    return str(folder / "colours.json")


@pytest.fixture(scope="session")
def grid_spec(colour_spec):
    """Path of a spec of the same labels whose model has a last layer, so that clips can be compared."""
    path = Path(colour_spec).with_name("grid.json")
    torch.save(GridModel().state_dict(), path.with_suffix(".pt"))
    spec = json.loads(Path(colour_spec).read_text())
    path.write_text(json.dumps({**spec, "architecture": "module:tests.colours:grid_model", "weights": "grid.pt"}))
    return str(path)


@pytest.fixture(autouse=True)
def nothing_leaves_the_machine():
    """Fails the test during which a process of the suite tried to reach another machine."""
    yield
    tried = egress.new_lines()
    assert not tried, "\n".join(["tried to leave this machine:", *tried])


@pytest.fixture(autouse=True)
def nothing_keeps_the_tests_from_ending():
    """Fails the test that leaves a thread for which Python would wait at its end, for ever where it never ends."""
    before = {*threading.enumerate()}
    yield
    pools = {*concurrent.futures.thread._threads_queues}  # their threads end with Python
    left = [thread for thread in threading.enumerate() if not thread.daemon and thread not in before | pools]
    for thread in left:
        thread.join(5)
    assert not [thread.name for thread in left if thread.is_alive()]


@pytest.fixture(autouse=True)
def nothing_takes_the_machine():
    """Fails the test that leaves this process a priority above that of all others, which starves them."""
    yield
    policy = os.sched_getscheduler(0)
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    assert policy == os.SCHED_OTHER


@pytest.fixture(scope="session")
def google_cloud():
    """A storage with faults, and the environment that leads there."""
    with google(BUCKET) as running:
        yield running


@pytest.fixture
def cloud(google_cloud, monkeypatch):
    """A storage with faults and an empty bucket, which this process and its children take for Google's."""
    cloud, environment = google_cloud
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    gcs._cloud.cache_clear()
    copies.of_process.cache_clear()
    cloud.clear()
    yield cloud
    gcs._cloud.cache_clear()


@pytest.fixture(scope="module")
def browser():
    """Chromium, for the tests of one file: while it runs, no `asyncio.run` can in this process."""
    with running_chromium() as running:
        yield running


@pytest.fixture
def open_page(browser):
    """A function that opens a file or URL in a context of its own and gives an Opened; closed after the test.

    Options are those of Playwright's contexts: `open_page(path, viewport={"width": 390, "height": 844},
    color_scheme="dark", device_scale_factor=2, has_touch=True)`.
    """
    with opening(browser) as open_page:
        yield open_page


def read_jsonl(path):
    """Returns the rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def pytest_collection_modifyitems(items):
    """Spreads the files that wait for sites evenly among those that compute: then they share a machine best."""
    groups = {}
    for path in dict.fromkeys(item.path for item in items):
        groups.setdefault(path.is_relative_to(Path(__file__).parent / "transforms"), []).append(path)
    rank = {path: place / len(paths) for paths in groups.values() for place, path in enumerate(paths)}
    items.sort(key=lambda item: rank[item.path])


def pytest_runtest_logreport(report):
    """Shows what failed at once: where the whole is ended before its own, nothing else tells."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        sys.stderr.write(f"\nFAILED {report.nodeid} ({report.when}, {report.duration:.0f} s)\n{report.longreprtext}\n")


def pytest_terminal_summary(terminalreporter):
    """Prints the parity table, and every skip loudly."""
    if skipped := terminalreporter.stats.get("skipped"):
        terminalreporter.section(f"{len(skipped)} SKIPPED: what these hold is not known of this machine", sep="!")
        for report in skipped:
            terminalreporter.line(f"{report.nodeid}: {report.longrepr[-1]}")
        if without := sum(NO_CHROMIUM in report.longrepr[-1] for report in skipped):
            terminalreporter.section(f"{without} browser tests were skipped: {NO_CHROMIUM}", sep="!")
    passed = [report for report in terminalreporter.stats.get("passed", ()) if report.when == "call"]
    if rows := [value for report in passed for name, value in report.user_properties if name == "parity"]:
        terminalreporter.section("largest differences from plain torch on the same frames")
        terminalreporter.line(f"{'':<34} samples      job OpenVINO its bf16")
        for kind, classifier, samples, *differences in rows:
            told = [f"{difference:.1e}" for difference in differences] + ["none"] * (3 - len(differences))
            terminalreporter.line(f"{kind:<34} {samples:>7}  {'  '.join(f'{one:>7}' for one in told)}   {classifier}")
