"""The real DataflowRunner against a loopback stand-in of the service: what is submitted, staged and told."""

import json
import os
import re

import pytest
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import translations
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests.dataflow_server import FORBIDDEN_PROJECT, dataflow_service
from tests.jobs import run_cli
from tests.servers import metadata_server, storage_emulator
from transforms.core import funnel

BUCKET = "clipscout-test"
IMAGE = "europe-docker.pkg.dev/project/clipscout/clipscout:1"
OUTPUT = f"gs://{BUCKET}/results"


class Cloud:
    """The stand-ins, and ways to submit to them."""

    def __init__(self, environment, service):
        self.environment, self.service = environment, service
        os.environ.update(environment)
        self.bucket = storage.Client(project="clipscout", credentials=AnonymousCredentials()).bucket(BUCKET)

    def submit(self, *more):
        """Runs `python -m pipeline` on Dataflow."""
        options = {
            "runner": "DataflowRunner",
            "input": f"gs://{BUCKET}/queries.csv",
            "output": OUTPUT,
            "project": "project",
            "region": "europe-west4",
            "temp_location": f"gs://{BUCKET}/tmp",
            "dataflow_endpoint": self.service.url,
            "sdk_container_image": IMAGE,
        }
        given = [f"--{name}={value}" for name, value in options.items()]
        return run_cli(*given, "--no_auth", *more, environment=self.environment)

    def names(self, prefix=""):
        """Returns the names of the objects that are there."""
        return [blob.name for blob in self.bucket.list_blobs(prefix=prefix)]

    def staged(self):
        """Returns the staged pipeline; it is gone after, so that the next one is the only one."""
        (name,) = [name for name in self.names("tmp/") if name.endswith("/pipeline.pb")]
        content = self.bucket.blob(name).download_as_bytes()
        self.bucket.blob(name).delete()
        return beam_runner_api_pb2.Pipeline.FromString(content)


@pytest.fixture(scope="module")
def emulator():
    with storage_emulator(BUCKET) as storage_there, metadata_server() as metadata:
        yield {**storage_there, **metadata}


@pytest.fixture
def cloud(emulator, monkeypatch):
    for name in emulator:
        monkeypatch.setenv(name, emulator[name])
    with dataflow_service() as service:
        there = Cloud(emulator, service)
        for blob in list(there.bucket.list_blobs()):
            blob.delete()
        there.bucket.blob("queries.csv").upload_from_string(f"action,path\nred,gs://{BUCKET}/in/*.mp4\n")
        yield there


def hinted_transforms(pipeline):
    """Returns the full names of the primitive steps whose environment has resource hints, and those hints."""
    parts = pipeline.components
    hints = {name: dict(environment.resource_hints) for name, environment in parts.environments.items()}
    steps = {
        step.unique_name: hints[step.environment_id]
        for step in parts.transforms.values()
        if hints.get(step.environment_id) and not step.subtransforms
    }
    return set(steps), list(steps.values())


def fused_stages(pipeline):
    """Returns the names of the steps of each stage, fused as a portable runner does."""
    kept = [common_urns.primitives.FLATTEN.urn, common_urns.primitives.GROUP_BY_KEY.urn]
    phases = ("annotate_downstream_side_inputs", "expand_sdf", "expand_gbk", "sink_flattens", "greedily_fuse")
    _, stages = translations.create_and_optimize_stages(
        pipeline, [getattr(translations, name) for name in phases], frozenset(kept)
    )
    return [{step.unique_name for step in stage.transforms} for stage in stages]


SCORING = {
    "ScoreVideos/DecodeAndInfer/Decode/ParDo(_Decode)",
    "ScoreVideos/DecodeAndInfer/Infer/BatchElements/ParDo(_GlobalWindowsBatchingDoFn)",
    "ScoreVideos/DecodeAndInfer/Infer/BeamML_RunInference",
}


def test_right_fitting_puts_the_gpu_on_decoding_and_inference_and_nowhere_else(cloud):
    done = cloud.submit("--gpu=nvidia-l4", "--labels=team=video", f"--template_location=gs://{BUCKET}/template/job")
    assert done.returncode == 0, done.stderr
    assert "the job was written as a template" in done.stdout
    assert cloud.service.jobs == {}  # a template is not submitted
    job = json.loads(cloud.bucket.blob("template/job").download_as_bytes())
    (pool,) = job["environment"]["workerPools"]
    assert pool["machineType"] == "n2-standard-4"
    assert pool["diskSizeGb"] == 100
    assert pool["numThreadsPerWorker"] == 8
    assert {image["containerImage"] for image in pool["sdkHarnessContainerImages"]} == {IMAGE}
    assert "no_use_multiple_sdk_containers" in job["environment"]["experiments"]
    assert "serviceOptions" not in job["environment"]
    assert job["labels"] == {"team": "video", "clipscout-version": "0-1-0", "clipscout-preset": "kinetics"}
    assert re.fullmatch(r"clipscout-queries-\d{8}", job["name"])

    pipeline = cloud.staged()
    steps, hints = hinted_transforms(pipeline)
    assert steps == SCORING
    assert {name.split(":")[2]: value for name, value in hints[0].items()} == {
        "accelerator": b"type:nvidia-l4;count:1;install-nvidia-driver",
        "min_ram_bytes": b"24000000000",
    }
    stages = fused_stages(pipeline)
    # a launch from a template has no metrics to make a summary from
    assert any("WriteSummary/ParDo(_WriteSummary)" in stage for stage in stages)
    (stage,) = [stage for stage in stages if stage & SCORING]
    assert stage >= SCORING
    assert not [step for step in stage if step.startswith(("DownloadVideos", "CutClips", "ScoreVideos/FindStored"))]


def test_a_pool_of_gpus_is_submitted_and_waited_for(cloud):
    cloud.bucket.blob("results/summary.json").upload_from_string(
        json.dumps({**funnel.assemble({"rows.read": 7, "rows.matched": 7}), "stale_clips": 0})
    )
    done = cloud.submit("--gpu=nvidia-tesla-t4", "--gpu_mode=pool", "--max_num_workers=3")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "workers    n1-standard-8, 100 GB, nvidia-tesla-t4 (pool)" in done.stdout
    assert "submitted  2026-job-0" in done.stdout
    assert "rows       7 read" in done.stdout
    environment = cloud.service.submitted()["environment"]
    assert environment["serviceOptions"] == ["worker_accelerator=type:nvidia-tesla-t4;count:1;install-nvidia-driver"]
    (pool,) = environment["workerPools"]
    assert (pool["machineType"], pool["autoscalingSettings"]["maxNumWorkers"]) == ("n1-standard-8", 3)
    pipeline = cloud.staged()
    assert hinted_transforms(pipeline) == (set(), [])
    (stage,) = [stage for stage in fused_stages(pipeline) if stage & SCORING]
    assert stage >= SCORING


def test_a_job_that_fails_there_fails_here(cloud):
    cloud.service.last_state = "JOB_STATE_FAILED"
    cloud.service.error = (
        'Traceback (most recent call last):\n  File "outputs.py", line 5, in process\n'
        "transforms.outputs.TooManyFailuresError: 30.0% of its rows and videos did [while running 'WriteSummary']"
    )
    done = cloud.submit("--max_failure_ratio=0.2")
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if line.startswith("clipscout: ")] == [
        "clipscout: the job failed: 30.0% of its rows and videos did"
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--region=asia-east1"], "Dataflow refused the job: 404 POST"),
        ([f"--project={FORBIDDEN_PROJECT}"], "Dataflow refused the job: 403 POST"),
    ],
    ids=["a region that is not offered", "no permission"],
)
def test_a_refusal_of_the_service_is_one_line(cloud, more, expected):
    done = cloud.submit(*more)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"clipscout: {expected}")


def test_the_same_job_cannot_run_twice_at_a_time(cloud):
    """The name of the job is the lock: the service knows one that is under way by it."""
    cloud.service.jobs["2026-job-0"] = {"name": "clipscout-daily", "clientRequestId": "of another launch"}
    done = cloud.submit("--job_name=clipscout-daily")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("clipscout: Dataflow refused the job: There is already active job named clipscout-daily")


def test_every_fault_of_a_cloud_job_comes_in_one_list(cloud):
    done = cloud.submit(
        "--preflight_only",
        "--gpu=nvidia-l4",
        "--flexrs_goal=COST_OPTIMIZED",
        "--sdk_container_image=",
        "--region=",
        "--temp_location=gs://no-such-bucket/tmp",
        "--output=gs://no-such-bucket/out",
        f"--input=gs://{BUCKET}/none.csv,gs://no-such-bucket/*.csv",
        "--clip_seconds=10",
    )
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    for part in (
        "--sdk_container_image is missing",
        "--region is missing",
        "--gpu_mode=right_fit and --flexrs_goal exclude each other",
        f"--input: no file matches 'gs://{BUCKET}/none.csv'",
        "--input: gs://no-such-bucket: does not exist",
        "--output: cannot write to 'gs://no-such-bucket/out': does not exist",
        "--temp_location: cannot write to 'gs://no-such-bucket/tmp': does not exist",
    ):
        assert sum(part in line for line in lines) == 1, (part, lines)
    assert len(lines) == 7


def test_faulty_values_do_not_hide_missing_files(cloud):
    done = cloud.submit("--clip_seconds=long", f"--input=gs://{BUCKET}/none.csv")
    assert done.returncode == 2
    assert [line.split(" ")[1] for line in done.stderr.splitlines()] == ["--clip_seconds", "--input:"]


def test_preflight_alone_leaves_nothing_behind(cloud):
    done = cloud.submit("--preflight_only")
    assert done.returncode == 0, done.stderr
    assert "no fault found; nothing was run" in done.stdout
    assert cloud.names() == ["queries.csv"]
    assert cloud.service.jobs == {}
