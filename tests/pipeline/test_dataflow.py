"""The real DataflowRunner against a loopback stand-in of the service: what is submitted, staged and told."""

import json
import re
import shlex
import signal
from typing import NamedTuple

import pytest
import requests
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import translations

from clipscout.pipeline.reasons import GOES_ON
from clipscout.pipeline.run import main
from clipscout.transforms.core.results import funnel
from clipscout.transforms.core.storage import filesystem
from tests.cloud_servers import always
from tests.command.test_readme import blocks
from tests.conftest import BUCKET
from tests.dataflow_server import FORBIDDEN_PROJECT, dataflow_service
from tests.programs import Program, until

IMAGE = "europe-docker.pkg.dev/project/clipscout/clipscout:1"
OUTPUT, TEMPLATE = f"gs://{BUCKET}/results", f"gs://{BUCKET}/template/job"


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class Dataflow:
    """The stand-in of the service, and ways to submit to it; gs:// is the one of the fixture `cloud`."""

    def __init__(self, service, capsys):
        self.service, self._capsys = service, capsys

    def submit(self, *more):
        """Submits a job; returns exit status, stdout and stderr."""
        status = main(self.arguments(*more))
        return Done(status, *self._capsys.readouterr())

    def arguments(self, *more):
        """Returns the command line of a job."""
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
        return [*given, "--no_auth", "--progress=none", *more]

    def template(self):
        """Returns the job that was written as a template."""
        return json.loads(filesystem.read_bytes(TEMPLATE))

    def staged(self):
        """Returns the staged pipeline."""
        (name,) = [name for name in filesystem.list_files(f"gs://{BUCKET}", "tmp/") if name.endswith("/pipeline.pb")]
        return beam_runner_api_pb2.Pipeline.FromString(filesystem.read_bytes(f"gs://{BUCKET}/{name}"))


@pytest.fixture
def dataflow(cloud, capsys):
    with dataflow_service() as service:
        filesystem.write_bytes(f"gs://{BUCKET}/queries.csv", f"action,path\ngoldfish,gs://{BUCKET}/in/*.mp4\n".encode())
        yield Dataflow(service, capsys)


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
    "ScoreVideos/DecodeAndInfer/Decode",
    "ScoreVideos/DecodeAndInfer/Infer/BatchElements/ParDo(_GlobalWindowsBatchingDoFn)",
    "ScoreVideos/DecodeAndInfer/Infer/BeamML_RunInference",
    "ScoreVideos/DecodeAndInfer/Save",
}
#: The same of clips, which another model describes.
DESCRIBING = {
    "DescribeClips/DecodeAndInfer/Decode",
    "DescribeClips/DecodeAndInfer/Infer/BatchElements/ParDo(_GlobalWindowsBatchingDoFn)",
    "DescribeClips/DecodeAndInfer/Infer/BeamML_RunInference",
    "DescribeClips/DecodeAndInfer/Save/ParDo(_SaveFeatures)",
}


def test_right_fitting_puts_the_gpu_on_decoding_and_inference_and_nowhere_else(dataflow):
    done = dataflow.submit("--gpu=nvidia-l4", "--labels=team=video", f"--template_location={TEMPLATE}")
    assert done.returncode == 0, done.stderr
    assert "the job was written as a template" in done.stdout
    assert dataflow.service.jobs == {}  # a template is not submitted
    assert filesystem.list_files(OUTPUT) == []  # nor is the output anybody's yet
    job = dataflow.template()
    (pool,) = job["environment"]["workerPools"]
    assert pool["machineType"] == "n2-standard-4"
    assert pool["diskSizeGb"] == 100
    assert pool["numThreadsPerWorker"] == 8
    assert {image["containerImage"] for image in pool["sdkHarnessContainerImages"]} == {IMAGE}
    assert "no_use_multiple_sdk_containers" in job["environment"]["experiments"]
    assert "serviceOptions" not in job["environment"]
    assert job["labels"] == {"team": "video", "clipscout-version": "0-1-0", "clipscout-preset": "kinetics"}
    assert re.fullmatch(r"clipscout-queries-[0-9a-f]{6}-\d{8}", job["name"])

    pipeline = dataflow.staged()
    steps, hints = hinted_transforms(pipeline)
    assert steps == SCORING | DESCRIBING
    assert {name.split(":")[2]: value for name, value in hints[0].items()} == {
        "accelerator": b"type:nvidia-l4;count:1;machine_type:g2-standard-8;install-nvidia-driver:latest",
        "min_ram_bytes": b"24000000000",
    }
    stages = fused_stages(pipeline)
    # a launch from a template has no metrics to make a summary from
    assert any("WriteSummary/ParDo(_WriteSummary)" in stage for stage in stages)
    (stage,) = [stage for stage in stages if stage & SCORING]
    assert stage >= SCORING
    (describing,) = [stage for stage in stages if stage & DESCRIBING]
    assert describing >= DESCRIBING
    assert not [step for step in describing if step.startswith(("CutClips", "DescribeClips/Find", "DropDuplicates"))]
    assert not [step for step in stage if step.startswith(("DownloadVideos", "CutClips", "ScoreVideos/FindStored"))]


@pytest.mark.parametrize(("wish", "state"), [("auto", None), ("leave", None), ("cancel", "JOB_STATE_CANCELLED")])
def test_a_job_goes_on_or_is_cancelled_when_the_program_is_stopped(dataflow, tmp_path, wish, state):
    dataflow.service.last_state = "JOB_STATE_RUNNING"
    with Program(tmp_path / "scratch", dataflow.arguments(f"--when_stopped={wish}")) as program:
        until(lambda: dataflow.service._asked, seconds=60)  # it is waited for
        program.send(signal.SIGINT)
        told, error = program.outputs()
    assert f"submitted  2026-job-0; it {'is cancelled' if state else 'goes on'} if this program is stopped" in told
    assert dataflow.service.wished.get("2026-job-0") == state
    command = "gcloud dataflow jobs cancel 2026-job-0 --project=project --region=europe-west4"
    left, cancelled = f"the job goes on, and ends by: {command}", f", and the job is cancelled; {GOES_ON}"
    assert error == (f"clipscout: stopped{cancelled}\n" if state else f"clipscout: stopped; {left}\n")


def test_a_pool_of_gpus_is_submitted_and_waited_for(dataflow):
    summary = {**funnel.assemble({"rows.read": 7, "rows.matched": 7}), "stale_clips": 0}
    summary["cleaning"] = {"asked": False, "removed": 0, "waiting": 0, "error": ""}
    filesystem.write_bytes(f"{OUTPUT}/summary.json", json.dumps(summary).encode())
    how = "--gpu_driver=580", "--gpu_provisioning=FLEX_START"
    done = dataflow.submit("--gpu=nvidia-tesla-t4", "--gpu_mode=pool", "--max_num_workers=3", *how)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "workers    n1-standard-8, 100 GB, nvidia-tesla-t4 (pool)" in done.stdout
    assert "submitted  2026-job-0" in done.stdout
    assert "rows       7 read" in done.stdout
    environment = dataflow.service.submitted()["environment"]
    driver = "install-nvidia-driver:580;provisioning_model:FLEX_START"
    assert environment["serviceOptions"] == [f"worker_accelerator=type:nvidia-tesla-t4;count:1;{driver}"]
    (pool,) = environment["workerPools"]
    assert (pool["machineType"], pool["autoscalingSettings"]["maxNumWorkers"]) == ("n1-standard-8", 3)
    pipeline = dataflow.staged()
    assert hinted_transforms(pipeline) == (set(), [])
    (stage,) = [stage for stage in fused_stages(pipeline) if stage & SCORING]
    assert stage >= SCORING


def test_a_job_that_fails_there_fails_here(dataflow):
    dataflow.service.last_state = "JOB_STATE_FAILED"
    dataflow.service.error = (
        'Traceback (most recent call last):\n  File "outputs.py", line 5, in process\n'
        "clipscout.transforms.outputs.TooManyFailuresError: 30.0% of its rows, videos or spans did "
        "[while running 'WriteSummary']"
    )
    done = dataflow.submit("--max_failure_ratio=0.2")
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if line.startswith("clipscout: ")] == [
        "clipscout: the job failed: 30.0% of its rows, videos or spans did"
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--region=asia-east1"], "Dataflow refused the job: 404 POST"),
        ([f"--project={FORBIDDEN_PROJECT}"], "Dataflow refused the job: 403 POST"),
    ],
    ids=["a region that is not offered", "no permission"],
)
def test_a_refusal_of_the_service_is_one_line(dataflow, more, expected):
    done = dataflow.submit(*more)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"clipscout: {expected}")


def test_the_same_job_cannot_run_twice_at_a_time(dataflow):
    """The name of the job is the lock: the service knows one that is under way by it."""
    dataflow.service.jobs["2026-job-0"] = {"name": "clipscout-daily", "clientRequestId": "of another launch"}
    before = filesystem.list_files(f"gs://{BUCKET}")
    done = dataflow.submit("--job_name=clipscout-daily")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("clipscout: Dataflow refused the job: There is already active job named clipscout-daily")
    # the output is still the other one's
    assert [name for name in filesystem.list_files(f"gs://{BUCKET}") if not name.startswith("tmp/")] == before


def test_every_fault_of_a_cloud_job_comes_in_one_list(dataflow):
    done = dataflow.submit(
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
        "--input: gs://no-such-bucket: the bucket no-such-bucket does not exist",
        "--output: cannot write to 'gs://no-such-bucket/out': the bucket no-such-bucket does not exist",
        "--temp_location: cannot write to 'gs://no-such-bucket/tmp': the bucket no-such-bucket does not exist",
    ):
        assert sum(part in line for line in lines) == 1, (part, lines)
    assert len(lines) == 7


def test_faulty_values_hide_nothing_else(dataflow):
    nowhere = "gs://no-such-bucket"
    done = dataflow.submit(
        "--clip_seconds=long",
        f"--input=gs://{BUCKET}/none.csv",
        "--region=",
        f"--temp_location={nowhere}/tmp",
        f"--template_location={nowhere}/t/job",
    )
    assert done.returncode == 2
    found = [line.split(" ")[1].rstrip(":") for line in done.stderr.splitlines()]
    assert found == ["--clip_seconds", "--region", "--input", "--temp_location", "--template_location"]


def test_the_command_of_the_readme_passes_all_checks(dataflow, capsys):
    filesystem.write_bytes(f"gs://{BUCKET}/queries/2026-01-02.csv", b"action,path,classes\na,gs://b/c.mp4,tench\n")
    (command,) = blocks("On Google Cloud")
    command = (
        command.replace("\\\n", " ").replace("PROJECT", "project").replace("BUCKET", BUCKET).replace("IMAGE", IMAGE)
    )
    program, _, *given = shlex.split(command)
    assert program == "clipscout"
    more = ["--date=2026-01-02", "--preflight_only", "--no_auth", f"--dataflow_endpoint={dataflow.service.url}"]
    assert main([*given, *more]) == 0, capsys.readouterr().err
    assert f"image      {IMAGE}" in capsys.readouterr().out


def test_preflight_alone_leaves_nothing_behind(dataflow):
    done = dataflow.submit("--preflight_only")
    assert done.returncode == 0, done.stderr
    assert "the job can start; nothing was run" in done.stdout
    assert filesystem.list_files(f"gs://{BUCKET}") == ["queries.csv"]
    assert dataflow.service.jobs == {}


def test_places_without_permission_are_a_line_each(dataflow, cloud):
    cloud.schedule = always("403")
    done = dataflow.submit("--preflight_only")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"clipscout: --input: gs://{BUCKET}/queries.csv: no permission",
        f"clipscout: --output: cannot write to '{OUTPUT}': no permission",
        f"clipscout: --temp_location: cannot write to 'gs://{BUCKET}/tmp': no permission",
    ]


@pytest.mark.parametrize("more", [[], [f"--template_location={TEMPLATE}"]], ids=["submitted", "template"])
def test_a_launch_that_fails_leaves_no_settings_in_the_output(dataflow, monkeypatch, more):
    monkeypatch.setattr("clipscout.pipeline.graph.build", None)
    with pytest.raises(TypeError):
        dataflow.submit(*more)
    assert filesystem.list_files(OUTPUT) == []


def test_a_service_that_does_not_answer_is_one_line(dataflow, monkeypatch):
    monkeypatch.setattr("clipscout.pipeline.run.run", no_answer)
    done = dataflow.submit()
    assert (done.returncode, done.stderr) == (1, "clipscout: Dataflow does not answer: no connection\n")


def no_answer(*_):
    raise requests.ConnectionError("no connection")
