"""build.sh and run.sh: what they ask of gcloud, and one line for everything that is missing or wrong."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from templates import describe

FOLDER = Path(describe.__file__).parent
SCRIPTS = sorted(FOLDER.rglob("*.sh"))
BUILD = {"PROJECT": "project", "REGION": "us-central1", "REPOSITORY": "repository", "SPECS": "specs"}
RUN = {
    "PROJECT": "project",
    "REGION": "us-central1",
    "SPECS": "specs",
    "BUCKET": "bucket",
    "WORKER_ACCOUNT": "w@project.iam.gserviceaccount.com",
}
PLACES = ("input=gs://bucket/q.csv", "output=gs://bucket/out")
DIGEST = "sha256:" + "0" * 64
#: Stands for every command that would leave this machine: notes its arguments, and keeps the spec that is copied.
RECORDER = f"""#!{sys.executable} -S
import json, pathlib, shutil, sys
folder = pathlib.Path(__file__).parent
with (folder / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]) + "\\n")
if sys.argv[1:3] == ["storage", "objects"]:
    sys.exit(0 if (folder / "spec is there").exists() else 1)
if sys.argv[1:3] in (["storage", "buckets"], ["artifacts", "repositories"]):
    sys.exit(1 if (folder / f"{{sys.argv[2]}} missing").exists() else 0)
if "describe" in sys.argv:
    print((folder / "digest").read_text(), end="")
if sys.argv[1:3] == ["storage", "cp"] and not sys.argv[3].startswith("gs://"):
    shutil.copyfile(sys.argv[3], folder / "spec.json")
"""
OPTIONAL = ("--max-workers", "--worker-machine", "--launcher", "--additional", "--subnetwork", "--disable")
NEEDED = ("bash", "cat", "dirname", "git", "mktemp", "rm", "sed")


@pytest.fixture
def tools(tmp_path):
    """A folder with the tools of a plain machine, and recorders in place of gcloud, docker and buildah."""
    for name in NEEDED:
        (tmp_path / name).symlink_to(shutil.which(name))
    (tmp_path / "python3").symlink_to(sys.executable)
    for name in ("gcloud", "docker", "buildah"):
        (tmp_path / name).write_text(RECORDER)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "digest").write_text(DIGEST)
    return tmp_path


def run(tools, script, *given, **environment):
    clean = {name: text for name, text in os.environ.items() if name in ("HOME", "LANG", "TMPDIR")}
    return subprocess.run(
        [str(tools / "bash"), str(FOLDER / script), *given],
        cwd=tools,
        env={**clean, **environment, "PATH": str(tools)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def calls(tools):
    """Returns the noted commands, but for the look at what is there."""
    path = tools / "calls.jsonl"
    noted = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [call for call in noted if call[3:4] != ["describe"]]


def refused(tools, done, word):
    """Asserts a refusal in one line that holds a word, before anything was asked of a tool."""
    assert (done.returncode, done.stdout, calls(tools)) == (2, "", [])
    assert done.stderr.count("\n") == 1
    assert word in done.stderr
    return True


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_one_of_bash_that_stops_at_the_first_error(script):
    assert len(SCRIPTS) == 2
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in script.read_text()
    assert os.access(script, os.X_OK)
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["build.sh", "run.sh"])
def test_help_needs_nothing_and_tells_every_variable(tools, name):
    for flag in ("-h", "--help"):
        done = run(tools, name, flag)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Usage: ")
        assert all(f"  {variable} " in done.stdout for variable in (BUILD if name == "build.sh" else RUN))
    assert refused(tools, run(tools, name, "--no-such"), "--no-such")


@pytest.mark.parametrize("variable", BUILD)
def test_building_without_a_variable_is_one_line(tools, variable):
    for empty in ({}, {variable: ""}):
        given = {**{name: text for name, text in BUILD.items() if name != variable}, **empty}
        assert refused(tools, run(tools, "build.sh", "v1", **given), f"{variable} is not set")


@pytest.mark.parametrize("variable", RUN)
def test_running_without_a_variable_is_one_line(tools, variable):
    given = {name: text for name, text in RUN.items() if name != variable}
    assert refused(tools, run(tools, "run.sh", "job", *PLACES, **given), f"{variable} is not set")


@pytest.mark.parametrize(("script", "tool"), [("build.sh", "gcloud"), ("build.sh", "docker"), ("run.sh", "gcloud")])
def test_a_missing_tool_is_one_line(tools, script, tool):
    (tools / tool).unlink()
    given = {**BUILD, "BUILDER": "docker"} if script == "build.sh" else RUN
    assert refused(tools, run(tools, script, "v1", *PLACES[: 2 * (script == "run.sh")], **given), f"{tool} is not")


@pytest.mark.parametrize(
    ("given", "variables", "word"),
    [
        (["latest"], {}, "latest"),
        (["cache"], {}, "cache"),
        (["a b"], {}, "a b"),
        ([".v1"], {}, ".v1"),
        (["v1", "v2"], {}, "at most one"),
        (["v1"], {"SPECS": "gs://bucket"}, "without gs://"),
        (["v1"], {"BUILDER": "podman"}, "podman"),
    ],
)
def test_what_cannot_be_built_is_one_line(tools, given, variables, word):
    assert refused(tools, run(tools, "build.sh", *given, **{**BUILD, **variables}), word)


@pytest.mark.parametrize(
    ("given", "variables", "word"),
    [
        ([], {}, "name is missing"),
        (["Job", *PLACES], {}, "Job"),
        (["job-", *PLACES], {}, "job-"),
        (["job", PLACES[0]], {}, "output=gs://"),
        (["job", PLACES[1]], {}, "input=gs://"),
        (["job", *PLACES, "--top_k=2"], {}, "--top_k"),
        (["job", *PLACES, "top-k=2"], {}, "top-k"),
        (["job", *PLACES, "top_k"], {}, "NAME=VALUE"),
        (["job", *PLACES, "top_k=2", "top_k=3"], {}, "twice"),
        (["job", *PLACES, "prompts=a|||b"], {}, "|||"),
        (["job", *PLACES], {"PRIVATE": "yes"}, "PRIVATE"),
        (["job", *PLACES], {"REGION": "US"}, "REGION"),
        (["job", *PLACES], {"WORKER_ACCOUNT": "No outputs found"}, "WORKER_ACCOUNT"),
        (["job", *PLACES], {"WORKER_ACCOUNT": "worker"}, "WORKER_ACCOUNT"),
        (["job", "input=q.csv", PLACES[1]], {}, "on gs://"),
        (["job", PLACES[0], "output=out"], {}, "on gs://"),
        (["job", *PLACES, "disk_size_gb=100"], {}, "disk_size_gb"),
    ],
)
def test_what_cannot_be_run_is_one_line(tools, given, variables, word):
    assert refused(tools, run(tools, "run.sh", *given, **{**RUN, **variables}), word)


@pytest.mark.parametrize("builder", ["cloud", "docker", "buildah"])
def test_building_pushes_an_image_and_writes_its_spec_twice(tools, builder):
    done = run(tools, "build.sh", "v1", **BUILD, BUILDER=builder)
    assert (done.returncode, done.stderr) == (0, "")
    images = "us-central1-docker.pkg.dev/project/repository/clipscout"
    *building, digest, first, second = calls(tools)
    flat = [word for call in building for word in call]
    if builder == "cloud":
        assert flat[:3] == ["gcloud", "builds", "submit"]
        assert f"--substitutions=_IMAGE={images}:v1,_CACHE={images}:cache,_ARGUMENTS=" in flat
    else:
        assert [call[:2] for call in building] == [[builder, "build"], [builder, "push"]]
        assert flat.count(f"{images}:v1") == 2
        assert f"IMAGE={images}:v1" in flat
    named = [word.partition("=")[2] or word for word in flat if word.partition("=")[2].startswith("templates/")]
    named += [word for word in flat if word.startswith("templates/")]
    assert named
    assert [name for name in named if not (FOLDER.parent / name).is_file()] == []
    assert digest[1:6] == ["artifacts", "docker", "images", "describe", f"{images}:v1"]
    assert json.loads((tools / "spec.json").read_text()) == describe.spec(f"{images}@{DIGEST}")
    assert first[1:3] == second[1:3] == ["storage", "cp"]
    assert first[4] == second[3] == "gs://specs/templates/clipscout-v1.json"
    assert "--if-generation-match=0" in first
    assert second[4] == "gs://specs/templates/clipscout.json"


@pytest.mark.parametrize("builder", ["cloud", "docker", "buildah"])
def test_mirrors_are_handed_to_the_build(tools, builder):
    mirrors = {"PIP_INDEX_URL": "https://mirror.example/simple?a=b", "BEAM_IMAGE": "mirror.example/beam"}
    done = run(tools, "build.sh", "v1", **BUILD, BUILDER=builder, **mirrors)
    assert (done.returncode, done.stderr) == (0, "")
    flat = [word for call in calls(tools) for word in call]
    arguments = [f"--build-arg={name}={value}" for name, value in mirrors.items()]
    if builder == "cloud":
        assert [word for word in flat if word.endswith(f",_ARGUMENTS={' '.join(arguments)}")]
    else:
        assert [word for word in flat if word in arguments] == arguments


@pytest.mark.parametrize("value", ["a b", "https://x/,y", "x;y", "$(x)", "`x`", "x'", 'x"', "x|y", "x&y", "x>y"])
def test_an_address_of_a_mirror_is_no_command(tools, value):
    assert refused(tools, run(tools, "build.sh", "v1", **BUILD, PIP_INDEX_URL=value), "PIP_INDEX_URL is")


@pytest.mark.parametrize("digest", ["", "not found"])
def test_an_image_without_a_digest_gets_no_spec(tools, digest):
    (tools / "digest").write_text(digest)
    done = run(tools, "build.sh", "v1", **BUILD)
    assert done.returncode == 2
    assert done.stderr.startswith("build.sh: the repository does not tell the digest")
    assert done.stderr.count("\n") == 1
    assert not (tools / "spec.json").exists()


def test_a_version_is_not_built_over(tools):
    (tools / "spec is there").write_text("")
    assert refused(tools, run(tools, "build.sh", "v1", **BUILD), "clipscout-v1.json is there already")


@pytest.mark.parametrize(("kind", "name"), [("buckets", "gs://specs"), ("repositories", "repository")])
def test_what_the_end_of_a_build_needs_is_looked_for_before_it(tools, kind, name):
    (tools / f"{kind} missing").write_text("")
    assert refused(tools, run(tools, "build.sh", "v1", **BUILD), f"{name} cannot be read")


def test_a_failed_build_ends_there(tools):
    (tools / "docker").write_text("#!/bin/sh\nexit 7\n")
    done = run(tools, "build.sh", "v1", **BUILD, BUILDER="docker")
    assert done.returncode == 7
    assert calls(tools) == []


def test_running_hands_every_option_over_as_it_is(tools):
    given = [*PLACES, "prompts=a photo, of {};a = b", "min_score=0.5", "exclude="]
    environment = {
        "MAX_WORKERS": "3",
        "MACHINE_TYPE": "n2-standard-4",
        "DISK_GB": "80",
        "LAUNCHER_MACHINE": "n2-standard-2",
        "LAUNCHER_SECONDS": "1500",
        "SUBNETWORK": "regions/r/subnetworks/s",
        "PRIVATE": "true",
    }
    done = run(tools, "run.sh", "clipscout-first", *given, **RUN, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    (call,) = calls(tools)
    assert call[:5] == ["gcloud", "dataflow", "flex-template", "run", "clipscout-first"]
    flags = dict(word.split("=", 1) for word in call[5:] if "=" in word)
    between, parameters = flags["--parameters"][1:].split("^", 1)
    assert parameters.split(between) == given
    assert flags["--template-file-gcs-location"] == "gs://specs/templates/clipscout.json"
    assert flags["--service-account-email"] == RUN["WORKER_ACCOUNT"]
    assert (flags["--max-workers"], flags["--subnetwork"]) == ("3", "regions/r/subnetworks/s")
    assert flags["--worker-machine-type"] == "n2-standard-4"
    assert flags["--additional-pipeline-options"] == "disk_size_gb=80"
    assert (flags["--launcher-machine-type"], flags["--launcher-vm-timeout-secs"]) == ("n2-standard-2", "1500")
    assert call[-1] == "--disable-public-ips"


def test_running_says_no_more_than_it_was_told(tools):
    assert run(tools, "run.sh", "job", *PLACES, **RUN, SPEC="gs://specs/templates/clipscout-v1.json").returncode == 0
    (call,) = calls(tools)
    assert "--template-file-gcs-location=gs://specs/templates/clipscout-v1.json" in call
    assert not [word for word in call if word.startswith(OPTIONAL)]
