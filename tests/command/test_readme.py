"""The README as a new user follows it: its commands and programs run, in their order, and print what it shows."""

import os
import re
import shlex
import subprocess
import sys
import sysconfig

import pyarrow.parquet as pq
import pytest

from clipscout import __version__
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
    return output_of([sys.executable, *(("-m", "clipscout") if program == "clipscout" else ()), *given], folder)


def output_of(command, folder, environment=None):
    """Runs a program to its end, which has to be good; returns what it printed."""
    told = {"capture_output": True, "text": True, "timeout": 200, "check": False}
    done = subprocess.run(command, cwd=folder, env=environment, **told)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_install_lines_lead_to_the_command(tmp_path):
    """All that they would download is what the tests run on, in the versions of the lock file; apt-get only tells."""
    (lines,) = blocks("Install")
    shims = tmp_path / "shims"
    shims.mkdir()
    (shims / "sudo").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/sudo.txt\n')
    (shims / "sudo").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(shims), os.path.dirname(sys.executable), os.environ["PATH"]]),
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say yes: setuptools is here too
        "GIT_CONFIG_COUNT": "1",  # the checkout may be another user's
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    script = "set -e\n" + lines.replace("REPOSITORY", shlex.quote(str(ROOT))) + "command -v clipscout\n"
    printed = output_of(["bash", "-c", script], tmp_path, environment)
    assert printed.endswith(f"clipscout {__version__}\n{tmp_path}/clipscout/.venv/bin/clipscout\n")
    assert (tmp_path / "sudo.txt").read_text() == "apt-get install git make python3 python3-venv\n"


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
