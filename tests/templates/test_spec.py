"""The image spec: what build.sh writes to gs:// and a launch names."""

import json
import subprocess
import sys

import pytest
from google.cloud import dataflow_v1beta3 as api
from google.protobuf import json_format

from templates import describe

IMAGE = "us-central1-docker.pkg.dev/project/repository/clipscout@sha256:" + "0" * 64
SCRIPT = str(describe.METADATA_FILE.with_name("describe.py"))


def run(*given):
    """Runs the script with nothing but Python's own library, as Cloud Shell has it."""
    command = [sys.executable, "-I", "-S", SCRIPT, *given]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_spec_is_one_of_the_api():
    message = json_format.ParseDict(describe.spec(IMAGE), api.ContainerSpec.pb(api.ContainerSpec()))
    assert message.image == IMAGE
    assert message.sdk_info.language == api.SDKInfo.Language.PYTHON
    assert json_format.MessageToDict(message.metadata) == json.loads(describe.METADATA_FILE.read_text())


def test_launcher_and_workers_run_the_same_image():
    spec = describe.spec(IMAGE)
    assert spec["defaultEnvironment"]["sdkContainerImage"] == spec["image"] == IMAGE


def test_the_launcher_has_memory_for_a_classifier_and_jobs_stay_small():
    environment = describe.spec(IMAGE)["defaultEnvironment"]
    assert environment["launcherMachineType"] == "e2-standard-4"  # 16 GB
    assert environment["maxWorkers"] == 10


def test_the_command_needs_nothing_that_is_installed():
    done = run("spec", "--image", IMAGE)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == describe.spec(IMAGE)


@pytest.mark.parametrize("image", ["clipscout", "host:5000/clipscout", "host/clipscout:latest"])
def test_an_image_without_a_version_is_refused_in_one_line(image):
    done = run("spec", "--image", image)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert repr(image) in done.stderr
