"""The README as a new user follows it: its commands and programs run, in their order, and print what it shows."""

import re
import shlex
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from demo import minute
from tests.jobs import ROOT

README = (ROOT / "README.md").read_text()


def blocks(heading, language=""):
    """Returns the fenced blocks of a section."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def own_videos(tmp_path_factory):
    """A folder of a user who has four videos."""
    folder = tmp_path_factory.mktemp("readme")
    minute.prepare(folder / "videos")
    return folder


def run(folder, command):
    program, *given = shlex.split(command.replace("\\\n", " "))
    assert program in ("clipscout", "python")
    done = subprocess.run(
        [sys.executable, *(("-m", "clipscout") if program == "clipscout" else ()), *given],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_five_minutes_with_ones_own_videos(own_videos):
    labels, queries, look, shown, show, cut = blocks("Five minutes with your own videos")
    found = [label for command in labels.splitlines() for label in run(own_videos, command).splitlines()]
    assert {"mountain bike", "bicycle-built-for-two", "unicycle"} <= {*found}
    (own_videos / "queries.csv").write_text(queries)
    assert shown in run(own_videos, look)
    (first, *_) = run(own_videos, show).splitlines()
    assert re.fullmatch(r"0\.\d{3} +\d+\.\d\d - +\d+\.\d\d s  riding a bike  \S+/bikes\.mp4", first)
    told = run(own_videos, cut)
    assert "as before  4 of 4 score tracks" in told  # no model was loaded
    spans = pq.read_table(own_videos / "out/spans.parquet").to_pylist()
    assert spans
    assert all(span["score"] >= 0.2 and (own_videos / "out" / span["clip"]).is_file() for span in spans)
    (program,) = blocks("Five minutes with your own videos", "python")
    done = subprocess.run([sys.executable, "-c", program], cwd=own_videos, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "riding a bike" in done.stdout


def test_it_is_a_front_door():
    assert len(README.splitlines()) <= 200
    for page in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / page).is_file(), page


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_pages_lead_to_pages_that_exist(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / target).is_file(), target
    assert f"docs/{page.name}" in README
