"""The loopback site and jobs over it, for all tests of the stages; a module may have media of its own."""

import json
import os

import pytest

from clipscout.pipeline.run import main
from tests.colours import COLOURS
from tests.media_maker import make_video, stamped
from tests.transforms import twins
from tests.web_jobs import OPTIONS
from tests.web_server import Running


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """Media files that the site serves."""
    folder = tmp_path_factory.mktemp("site")
    make_video(folder / "small.mp4", 30, rate=10, picture=lambda index: stamped(index, background=COLOURS["red"]))
    make_video(folder / "tall.mp4", 30, rate=10, size=(640, 360), picture=lambda index: stamped(index, 640, 360))
    (folder / "page.mp4").write_text("<html><body>no video here</body></html>")
    (folder / "list.mp4").write_text("#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n")
    (folder / "large.mp4").write_bytes((folder / "small.mp4").read_bytes() + os.urandom(14_000_000))
    return folder


@pytest.fixture
def site(media, monkeypatch):
    """Starts the site with a catalogue."""
    running = []

    def start(catalogue):
        running.append(Running(media, catalogue).__enter__())
        monkeypatch.setenv("CLIPSCOUT_TEST_PORT", str(running[-1].port))
        return running[-1]

    yield start
    for one in running:
        one.__exit__()


@pytest.fixture
def job(tmp_path, colour_spec):
    """Runs the job over rows; returns exit status and output folder."""

    def run(rows, *options, output="output"):
        queries = tmp_path / "queries.jsonl"
        queries.write_text("".join(json.dumps(row) + "\n" for row in rows))
        place = output if "://" in output else tmp_path / output
        base = ["--input", str(queries), "--output", str(place), "--classifier", colour_spec]
        return main([*base, *OPTIONS, *options]), place

    return run


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A folder of videos some of which show the same; see `twins.make`."""
    return twins.make(tmp_path_factory.mktemp("videos"))
