"""The distribution as users have it: built from the sources, installed elsewhere, used as `clipscout`."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from demo.footage import sample_videos
from tests.conftest import PLUGINS, read_jsonl
from tests.jobs import ROOT

FOLDERS = ("clipscout", "pipeline", "transforms", "requirements")
FILES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE")
#: Modules of a user's own, which have the names of our folders.
OWN = "raise SystemExit('a module of the working folder was imported')\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of a copy of the sources, in which nothing is left of other builds."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in FOLDERS:
        shutil.copytree(
            ROOT / name, folder / "source" / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in FILES:
        shutil.copy(ROOT / name, folder / "source")
    build = [
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
        str(folder / "source"),
    ]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True, capture_output=True, timeout=300)
    (built,) = folder.glob("clipscout-*.whl")
    return built


@pytest.fixture
def installed(wheel, tmp_path):
    """Runs a command of the installed wheel in a folder of a user's, who has modules named as our folders."""
    site = tmp_path / "site"
    install = ["install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, capture_output=True, timeout=300)
    folder = tmp_path / "own"
    (folder / "pipeline").mkdir(parents=True)
    (folder / "pipeline/__init__.py").write_text(OWN)
    (folder / "transforms.py").write_text(OWN)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), PLUGINS])}

    def run(*command):
        told = {"capture_output": True, "text": True, "timeout": 300}
        done = subprocess.run(command, cwd=folder, env=environment, check=False, **told)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run, site, folder


def test_a_wheel_holds_all_of_our_modules_and_files_below_one_package_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    paths = [path for name in ("pipeline", "transforms") for path in (ROOT / name).rglob("*.py")]
    others = (path for path in (ROOT / "transforms/core/report").rglob("*") if path.is_file())
    paths += (ROOT / "transforms/core/classifiers").glob("*.txt")
    paths += [path for path in others if path.suffix not in (".py", ".pyc")]
    expected = {f"clipscout/{path.relative_to(ROOT)}" for path in paths}
    assert names == expected | {"clipscout/__init__.py", "clipscout/__main__.py"}


def test_an_installed_wheel_mines_from_a_folder_with_modules_of_the_same_names(installed):
    run, site, folder = installed
    shutil.copyfile(sample_videos() / "bikes.mp4", folder / "a.mp4")
    (folder / "q.csv").write_text("action,path,classes\nriding a bike,*.mp4,mountain bike\n")
    (folder / "statistics.py").write_text(OWN)  # a module of Python's that ours import
    assert run(site / "bin/clipscout", "--version").startswith("clipscout ")
    given = ("--input=q.csv", "--output=out", "--clip_seconds=2", "--top_k=1", "--progress=none")
    assert "clips      1 written" in run(site / "bin/clipscout", "mine", *given)
    (span,) = read_jsonl(folder / "out/spans.jsonl")
    assert (folder / "out" / span["clip"]).is_file()
    # with worker processes, and from Python
    told = run(site / "bin/clipscout", "mine", *given, "--output=two", "--workers=2")
    assert "clips      1 written" in told
    (folder / "statistics.py").unlink()  # -c and notebooks import from the folder that they run in
    program = "import clipscout; print(clipscout.__file__, clipscout.Results('out').spans.num_rows)"
    assert run(sys.executable, "-c", program) == f"{site}/clipscout/__init__.py 1\n"
