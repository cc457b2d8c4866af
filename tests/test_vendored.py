"""What others wrote and lies in this repository is what they published, byte by byte, with its licence."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import tarfile

import pytest

from tests.jobs import ROOT

FOLDERS = sorted(path for name in ("pipeline", "transforms", "tests") for path in (ROOT / name).rglob("vendor"))
RECORDS = [folder / "vendor.json" for folder in FOLDERS]
FIELDS = {"name", "version", "licence", "integrity", "files"}
#: Errors of npm with which the registry speaks of the package; any other says that it was not reached.
ANSWERS = ("E404", "ETARGET", "EINTEGRITY")

vendored = pytest.mark.parametrize("path", RECORDS, ids=lambda path: json.loads(path.read_text())["name"])


def test_everything_vendored_is_known():
    assert {json.loads(path.read_text())["name"] for path in RECORDS} == {"uplot", "axe-core"}


@vendored
def test_files_are_those_of_the_record(path):
    record = json.loads(path.read_text())
    assert set(record) == FIELDS
    assert len(base64.b64decode(record["integrity"].removeprefix("sha512-"), validate=True)) == 64
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.parent.iterdir()}
    del found["vendor.json"]
    assert found == {name: file["sha256"] for name, file in record["files"].items()}


@vendored
def test_the_licence_lies_beside_and_is_the_one_that_is_named(path):
    first_words = {"MIT": "The MIT License", "MPL-2.0": "Mozilla Public License, version 2.0"}
    licence = (path.parent / "LICENSE").read_text()
    assert licence.startswith(first_words[json.loads(path.read_text())["licence"]])


@vendored
def test_files_are_those_of_the_package_that_the_registry_has(path, tmp_path):
    record = json.loads(path.read_text())
    if shutil.which("npm") is None:
        pytest.skip("there is no npm to ask the registry with")
    package = f"{record['name']}@{record['version']}"
    settings = ["--ignore-scripts", "--fetch-retries=0", "--fetch-timeout=20000", f"--cache={tmp_path}/cache"]
    command = ["npm", "pack", package, *settings]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        code = re.search(r"^npm \S+ code (\S+)", done.stderr, re.MULTILINE)
        assert code is None or code[1] not in ANSWERS, done.stderr
        pytest.skip(f"npm did not reach the registry ({code[1] if code else done.stderr.strip()[-200:]})")
    (tarball,) = tmp_path.glob("*.tgz")
    digest = hashlib.sha512(tarball.read_bytes()).digest()
    assert f"sha512-{base64.b64encode(digest).decode()}" == record["integrity"]
    with tarfile.open(tarball) as published:
        for name, file in record["files"].items():
            assert published.extractfile(f"package/{file['from']}").read() == (path.parent / name).read_bytes(), name
