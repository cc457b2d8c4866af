"""The image, built for real on stand-ins for its three bases, and the demo's queries run by a worker in it.

`make image`. Not part of `make test`, which does not collect this file: it takes minutes, 25 GB of disk, root's rights
and what `NEEDED` names. Launcher, job service and a pool of workers are three processes in the image, and have no
network but loopback.
"""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import apache_beam
import pytest

from clipscout.transforms.core.storage import filesystem
from demo import run_demo
from tests.conftest import read_jsonl
from tests.jobs import MANIFESTS, ROOT, assert_same_rows, run_rows, summary_of

#: Programs, each with the Debian package that has it.
NEEDED = {"buildah": "buildah", "mmdebstrap": "mmdebstrap", "unshare": "util-linux", "ip": "iproute2"}
SUITE = "bookworm"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
NAMES = {
    "PYTHON_IMAGE": "localhost/python:3.11",
    "BEAM_IMAGE": "localhost/beam",
    "LAUNCHER_IMAGE": "localhost/launcher:1",
}
BASES = {
    NAMES["PYTHON_IMAGE"]: f"""
ADD debian.tar /
COPY certificates {CERTIFICATES}
ENV PATH=/usr/local/bin:/usr/bin:/bin
RUN python3 -m venv /usr/local
COPY pip.conf /usr/local/pip.conf
""",
    f"{NAMES['BEAM_IMAGE']}:{apache_beam.__version__}": "COPY --chmod=755 boot /opt/apache/beam/boot",
    NAMES["LAUNCHER_IMAGE"]: "COPY --chmod=755 launcher /opt/google/dataflow/python_template_launcher",
}
IMAGE = "localhost/clipscout:tried"
# The real ones are programs in Go; these do what a pool of workers and a launch need of them.
BOOT = """\
#!/bin/sh
[ "$1" = --worker_pool ] || { echo "this stand-in of boot knows --worker_pool only, not $*" >&2; exit 1; }
exec python -m apache_beam.runners.worker.worker_pool_main --service_port=50000
"""
LAUNCHER = """\
#!/bin/sh
exec python "$FLEX_TEMPLATE_PYTHON_PY_FILE" "$@"
"""
JOB_SERVICE = ("python", "-m", "apache_beam.runners.portability.local_job_service_main", "--port=8099")
WAIT = """
import socket, sys, time

for port in map(int, sys.argv[1:]):
    for _ in range(600):
        try:
            socket.create_connection(("localhost", port)).close()
            break
        except OSError:
            time.sleep(0.1)
    else:
        sys.exit(f"nothing listens on port {port}")
"""


class Builder:
    """buildah with a storage of its own, without a daemon, and without layers that outlive it."""

    def __init__(self, folder):
        self._buildah = ["env", f"TMPDIR={folder}", "buildah", "--storage-driver=vfs"]
        self._buildah += [f"--root={folder}/storage", f"--runroot={folder}/run"]

    def command(self, verb, *given):
        return [*self._buildah, verb, *map(str, given)]

    def __call__(self, verb, *given, show=False):
        """Runs a command and returns what it printed; with `show`, what it prints is seen at once."""
        out = None if show else subprocess.PIPE
        return subprocess.run(self.command(verb, *given), cwd=ROOT, stdout=out, text=True, check=True).stdout

    def run(self, container, *command, mounts=()):
        """Returns the command line that runs a command in a container; Beam's processes meet under the host's name."""
        volumes = [f"--volume={mount}:{mount}" for mount in mounts]
        return self.command(
            "run", "--isolation", "chroot", "--hostname", "localhost", *volumes, container, "--", *command
        )


def debian(target):
    """Makes a file system of Debian with Python 3.11 and no compiler; from the host's mirror where it has one."""
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    mirror = [str(sources)] if sources.exists() and SUITE in sources.read_text() else []
    packages = "--include=ca-certificates,python3-venv"
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", packages, SUITE, target, *mirror], check=True)


def pip_settings():
    """Returns a configuration with which the build's pip asks the package index that the host's pip asks."""
    lines = ["[global]", f"cert = {CERTIFICATES}"]
    ask = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    index = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    return "\n".join([*lines, *([f"index-url = {index}"] if index else [])]) + "\n"


def build_bases(builder, folder):
    """Builds the stand-ins: Debian's Python where the official image has its own, and two programs."""
    debian(folder / "debian.tar")
    shutil.copyfile(CERTIFICATES, folder / "certificates")
    for name, text in {"pip.conf": pip_settings(), "boot": BOOT, "launcher": LAUNCHER}.items():
        (folder / name).write_text(text)
    for name, text in BASES.items():
        (folder / "Dockerfile").write_text(f"FROM scratch\n{text}")
        builder("build", "--isolation", "chroot", "--tag", name, "--file", folder / "Dockerfile", folder)


@pytest.fixture(scope="module")
def work():
    """A folder that is gone afterwards, with what is in it; on the disk of /var/tmp, as /tmp may be memory."""
    missing = {package for program, package in NEEDED.items() if not shutil.which(program)}
    missing |= {"root's rights"} if os.geteuid() else set()
    if missing:
        pytest.exit(f"make image needs {', '.join(sorted(missing))}", returncode=2)
    folder = Path("/var/tmp") / f"clipscout-image-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def builder(work):
    """A builder that holds the image."""
    builder, bases = Builder(work), work / "bases"
    bases.mkdir()
    build_bases(builder, bases)
    named = [f"--build-arg={name}={value}" for name, value in {**NAMES, "IMAGE": IMAGE}.items()]
    context = ["--file", "templates/Dockerfile", "--ignorefile", "templates/Dockerfile.dockerignore", "."]
    builder("build", "--isolation", "chroot", *named, "--tag", IMAGE, *context, show=True)
    return builder


@pytest.fixture(scope="module")
def container(builder):
    """The name of a container of the image."""
    return builder("from", IMAGE).strip()


def alone(log, *commands):
    """Runs commands where loopback is all there is of the network, all but the last two in the background.

    Returns the exit status of the last one, with which all end; what they print goes to the file `log`.
    """
    *behind, wait, last = map(shlex.join, commands)
    lines = ["set -eu", "ip link set lo up", *(f"{line} &" for line in behind), wait, last]
    spaces = ("--net", "--pid", "--fork", "--mount-proc", "--kill-child")
    with open(log, "w") as out:
        command = ["unshare", *spaces, "sh", "-c", "\n".join(lines)]
        return subprocess.run(command, stdout=out, stderr=out, check=False, timeout=900).returncode


def test_the_image_knows_its_programs_and_its_name(builder):
    config = json.loads(builder("inspect", "--type", "image", IMAGE))["OCIv1"]["config"]
    assert config["Entrypoint"] == ["/opt/apache/beam/boot"]
    assert "FLEX_TEMPLATE_PYTHON_PY_FILE=/template/main.py" in config["Env"]
    assert f"CLIPSCOUT_IMAGE={IMAGE}" in config["Env"]


def test_nothing_of_the_build_is_left_in_the_image(builder, container):
    look = builder.run(container, "sh", "-c", "ls -A ~/.cache ~/.config /tmp 2>/dev/null || true")
    assert subprocess.run(look, capture_output=True, text=True, check=True).stdout.split() == ["/tmp:"]


def test_a_worker_of_the_image_runs_the_demo_without_a_network(builder, container, work, tmp_path):
    queries = run_demo.prepare(work / "demo")
    with queries.open(newline="") as file:
        rows = [*csv.DictReader(file)]
    _, classifier, *more = run_demo.SETTINGS
    status, here = run_rows(tmp_path, rows, classifier, *more)
    assert status == 0

    there, mounts = work / "demo/results", [work / "demo"]
    job = [f"--input={queries}", f"--output={there}", *run_demo.SETTINGS, "--shots=ignore", "--runner=PortableRunner"]
    job += ["--job_endpoint=localhost:8099", "--environment_type=EXTERNAL", "--environment_config=localhost:50000"]
    job.append("--shared_output")
    status = alone(
        work / "log",
        builder.run(container, "/opt/apache/beam/boot", "--worker_pool", mounts=mounts),
        builder.run(container, *JOB_SERVICE),
        builder.run(container, "python", "-c", WAIT, "50000", "8099"),
        builder.run(container, "/opt/google/dataflow/python_template_launcher", *job, mounts=mounts),
    )
    print((work / "log").read_text())
    assert status == 0
    assert filesystem.list_files(str(there)) == filesystem.list_files(str(here))
    for name in MANIFESTS:
        assert_same_rows((there / name).read_text(), (here / name).read_text())
    assert len(read_jsonl(there / "spans.jsonl")) >= 4
    assert summary_of(there)["adds_up"]
