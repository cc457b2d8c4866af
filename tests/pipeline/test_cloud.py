"""Options of a Dataflow job: what follows from a GPU, what the user's own settings win over, what is contradictory."""

import json
import re

import pytest
from apache_beam.options.pipeline_options import DebugOptions, GoogleCloudOptions, WorkerOptions

from clipscout.pipeline import cloud, machines
from clipscout.pipeline.config import ConfigError, is_dataflow
from clipscout.pipeline.options import OPTIONS
from clipscout.pipeline.run import configure
from tests.jobs import ROOT

REMOTE = ["--input=gs://bucket/queries/daily.csv", "--output=gs://bucket/out", "--classifier=lite0"]
COMPLETE = [
    *REMOTE,
    "--runner=DataflowRunner",
    "--project=project",
    "--region=us-central1",
    "--temp_location=gs://bucket/tmp",
    "--sdk_container_image=registry/clipscout:1",
]


def faults_of(*more):
    return list(map(str, cloud.faults(*configure([*COMPLETE, *more]))))


def settled(*more):
    """Returns the options of a job as (worker, debug, google) after `settle`."""
    config, beam_options = configure([*COMPLETE, *more])
    assert cloud.faults(config, beam_options) == []
    cloud.settle(config, beam_options)
    return [beam_options.view_as(kind) for kind in (WorkerOptions, DebugOptions, GoogleCloudOptions)]


@pytest.mark.parametrize("gpu", ["none", *machines.WITH_GPU])
@pytest.mark.parametrize("mode", [[], ["--gpu_mode=pool"]])
def test_a_complete_job_has_no_fault(gpu, mode):
    assert faults_of(f"--gpu={gpu}", *(mode if gpu != "none" else [])) == []


def test_a_pool_of_gpus_is_asked_for_by_the_service_option_and_not_by_hints():
    worker, debug, google = settled("--gpu=nvidia-l4", "--gpu_mode=pool")
    config, _ = configure([*COMPLETE, "--gpu=nvidia-l4", "--gpu_mode=pool"])
    driver = "install-nvidia-driver:latest"
    assert google.dataflow_service_options == [f"worker_accelerator=type:nvidia-l4;count:1;{driver}"]
    assert cloud.resource_hints(config) == {}
    assert (worker.machine_type, worker.disk_size_gb) == ("g2-standard-8", 100)
    assert debug.number_of_worker_harness_threads == 8
    assert debug.experiments == ["no_use_multiple_sdk_containers"]


def test_right_fitting_hints_the_scoring_stage_and_leaves_cheap_machines_to_the_others():
    worker, debug, google = settled("--gpu=nvidia-tesla-t4")
    config, _ = configure([*COMPLETE, "--gpu=nvidia-tesla-t4"])
    assert cloud.resource_hints(config) == {
        "accelerator": "type:nvidia-tesla-t4;count:1;machine_type:n1-standard-8;install-nvidia-driver:latest",
        "min_ram": "24GB",
    }
    assert not google.dataflow_service_options
    assert worker.machine_type == "n2-standard-4"
    assert debug.experiments == ["no_use_multiple_sdk_containers"]


@pytest.mark.parametrize("gpu", machines.WITH_GPU)
def test_what_is_hinted_names_the_machine_that_the_gpu_goes_with(gpu):
    config, _ = configure([*COMPLETE, f"--gpu={gpu}"])
    parts = cloud.resource_hints(config)["accelerator"].split(";")
    assert parts[:2] == [f"type:{gpu}", "count:1"]
    (machine,) = (part.removeprefix("machine_type:") for part in parts if part.startswith("machine_type:"))
    assert machine.startswith(machines.WITH_GPU[gpu].series)


@pytest.mark.parametrize(
    ("more", "ending"),
    [
        ((), "install-nvidia-driver:latest"),
        (("--gpu_driver=default",), "install-nvidia-driver"),
        (("--gpu_driver=580",), "install-nvidia-driver:580"),
        (("--gpu_provisioning=FLEX_START",), "install-nvidia-driver:latest;provisioning_model:FLEX_START"),
        (("--gpu_processes=per_vcpu",), "install-nvidia-driver:latest;use_nvidia_mps"),
    ],
)
def test_driver_provisioning_and_sharing_are_as_asked_for(more, ending):
    config, _ = configure([*COMPLETE, "--gpu=nvidia-l4", *more])
    assert cloud.resource_hints(config)["accelerator"] == f"type:nvidia-l4;count:1;machine_type:g2-standard-8;{ending}"
    _, _, google = settled("--gpu=nvidia-l4", "--gpu_mode=pool", *more)
    assert google.dataflow_service_options == [f"worker_accelerator=type:nvidia-l4;count:1;{ending}"]


def test_a_secret_is_within_the_reach_of_workers():
    name = "projects/p/secrets/cookies/versions/latest"
    assert faults_of(f"--cookies={name}", f"--proxy={name}") == []


def test_processes_that_share_a_gpu_are_one_per_cpu_with_a_model_each():
    _, debug, _ = settled("--gpu=nvidia-l4", "--gpu_processes=per_vcpu")
    assert not debug.experiments  # Dataflow's own default
    assert debug.number_of_worker_harness_threads == 2


@pytest.mark.parametrize(
    "own", ["--dataflow_service_options=worker_accelerator=type:x", "--resource_hints=accelerator=x"]
)
def test_gpus_of_beams_own_options_are_used_or_the_job_fails(own):
    config, _ = configure([*COMPLETE, own])
    assert config.scoring.device == "cuda"
    config, _ = configure([*COMPLETE, own, "--device=cpu"])
    assert config.scoring.device == "cpu"
    config, _ = configure(COMPLETE)
    assert config.scoring.device == "auto"


def test_without_a_gpu_every_cpu_has_a_process_and_a_model_of_its_own():
    worker, debug, google = settled()
    config, _ = configure(COMPLETE)
    assert cloud.resource_hints(config) == {}
    assert not google.dataflow_service_options
    assert not debug.experiments
    assert (worker.machine_type, debug.number_of_worker_harness_threads) == ("n2-standard-8", 2)
    assert config.scoring.threads == 1


def test_what_the_user_sets_wins():
    worker, debug, google = settled(
        "--gpu=nvidia-l4",
        "--gpu_mode=pool",
        "--machine_type=g2-standard-24",
        "--disk_size_gb=300",
        "--number_of_worker_harness_threads=20",
        "--experiments=use_multiple_sdk_containers",
        "--dataflow_service_options=enable_prime",
        "--job_name=mine",
        "--labels=clipscout-preset=own",
        "--labels={'team': 'video'}",
    )
    assert (worker.machine_type, worker.disk_size_gb) == ("g2-standard-24", 300)
    assert debug.number_of_worker_harness_threads == 20
    assert debug.experiments == ["use_multiple_sdk_containers"]
    assert [text.partition("=")[0] for text in google.dataflow_service_options] == [
        "enable_prime",
        "worker_accelerator",
    ]
    assert google.job_name == "mine"
    assert google.labels == ["clipscout-version=0-1-0", "clipscout-preset=own", "team=video"]


def test_a_launcher_in_our_image_starts_the_workers_from_it(monkeypatch):
    monkeypatch.setenv(cloud.IMAGE_VARIABLE, "registry/clipscout:own")
    assert settled("--sdk_container_image=")[0].sdk_container_image == "registry/clipscout:own"
    assert settled()[0].sdk_container_image == "registry/clipscout:1"


def test_shared_models_keep_a_process_for_every_cpu():
    _, debug, _ = settled("--gpu=nvidia-l4", "--model_copies=1")
    assert not debug.experiments


def test_gpu_workers_score_on_the_gpu_or_not_at_all():
    config, _ = configure([*COMPLETE, "--gpu=nvidia-l4"])
    assert config.scoring.device == "cuda"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--gpu=nvidia-l4", "--device=cpu"], "--device is 'cpu', and --gpu=nvidia-l4 asks for GPUs"),
        (
            ["--gpu=nvidia-l4", "--dataflow_service_options=worker_accelerator=type:nvidia-l4;count:1"],
            "--gpu=nvidia-l4 and 'worker_accelerator=type:nvidia-l4;count:1' both ask for GPUs; give one",
        ),
        (["--gpu=nvidia-l4", "--resource_hints=accelerator=type:nvidia-l4;count:1"], "both ask for GPUs; give one"),
        (
            ["--dataflow_service_options=worker_accelerator=x", "--resource_hints=accelerator=y"],
            "'worker_accelerator=x' and the resource hint 'accelerator=y' both ask for GPUs; give one",
        ),
        (["--gpu=nvidia-l4", "--flexrs_goal=COST_OPTIMIZED"], "--gpu_mode=right_fit and --flexrs_goal exclude each"),
        (["--device=cuda"], "--device=cuda needs a GPU, and --gpu is 'none'"),
        (["--precision=fp16"], "--precision=fp16 needs a GPU, and --gpu is 'none'"),
        (["--sdk_container_image="], "--sdk_container_image is missing"),
        (["--gpu=nvidia-l4", "--sdk_container_image=", "--setup_file=./setup.py"], "--sdk_container_image is missing"),
        (["--project="], "--project is missing"),
        (["--region="], "--region is missing"),
        (["--region=us-central1-a"], "--region is 'us-central1-a', expected a region such as us-central1 (not a zone)"),
        (["--region=Mars"], "--region is 'Mars'"),
        (["--temp_location="], "--temp_location is missing"),
        (["--temp_location=/tmp/x"], "--temp_location is '/tmp/x', expected a place on gs://"),
        (["--staging_location=x"], "--staging_location is 'x', expected a place on gs://"),
        (["--job_name=My Job"], "--job_name is 'My Job'"),
        (["--workers=2"], "--workers is for the local runner"),
        (["--input=queries.csv"], "--input: 'queries.csv' is on this machine"),
        (["--output=out"], "--output: 'out' is on this machine"),
        (["--reference=gs://b/x.parquet,set"], "--reference: 'set' is on this machine"),
        (["--exclude=gs://b/x.csv,ids.txt"], "--exclude: 'ids.txt' is on this machine"),
        (["--cookies=cookies.txt"], "--cookies: 'cookies.txt' is on this machine"),
        (["--proxy=proxy.txt"], "--proxy names a file on this machine"),
        (["--proxy=http://user:word@proxy:3128"], "--proxy holds a password, which a Dataflow job would keep"),
        (["--streaming"], "--streaming: a job of Clipscout is a batch job"),
        (["--dry_run=true"], "--dry_run: give --preflight_only instead"),
        (["--labels=Team=video"], "--labels: Team=video is no label"),
        (["--labels=team=Video Clips!"], "--labels: team=Video Clips! is no label"),
        (["--labels=a={b}"], "--labels: expected KEY=VALUE, or a dictionary of texts"),
        (["--gpu=nvidia-l4", "--experiments=worker_accelerator=type:nvidia-l4;count:1"], "both ask for GPUs"),
        (["--labels={[1]: 2}"], "--labels: expected KEY=VALUE, or a dictionary of texts"),
        (["--resource_hints=beam:resources:accelerator:v1=type:x"], "--resource_hints: Unknown resource hint"),
        (["--resource_hints=min_ram=lots"], "--resource_hints: "),
        (
            ["--resource_hints=accelerator=type:x", "--flexrs_goal=COST_OPTIMIZED"],
            "and --flexrs_goal exclude each other",
        ),
        (
            ["--dataflow_service_options=worker_accelerator=type:x", "--device=cpu"],
            "--device is 'cpu', and 'worker_acc",
        ),
        (["--dataflow_service_options=worker_accelerator=type:nvidia-l4", "--machine_type=n2-standard-8"], "with g2"),
        (["--resource_hints=accelerator=x", "--sdk_container_image=", "--setup_file=./s.py"], "_image is missing"),
        (["--num_workers=20", "--max_num_workers=10"], "num_workers (20) cannot exceed max_num_workers (10)"),
        (["--num_workers=0"], "option: num_workers"),
        (["--disk_size_gb=-5"], "option: disk_size_gb"),
        (["--worker_region=a", "--worker_zone=b"], "mutually exclusive"),
        (["--project=1234"], "not project number"),
        (["--project=My Project"], "Invalid Project ID"),
        (["--sdk_container_image=bad image!!"], "--sdk_container_image is 'bad image!!'"),
        (["--update"], "--update: a batch job cannot be updated"),
        (["--experiments=disable_runner_v2"], "--experiments=disable_runner_v2: "),
        (["--template_location=gs://bucket"], "--template_location is 'gs://bucket', expected gs://BUCKET/FILE"),
        (["--template_location=gs://bucket/"], "--template_location is 'gs://bucket/', expected gs://BUCKET/FILE"),
        (
            ["--gpu=nvidia-a100-80gb", "--gpu_mode=pool", "--machine_type=a2-highgpu-1g"],
            "goes with a2-ultragpu machines",
        ),
        (
            ["--gpu=nvidia-l4", "--gpu_mode=pool", "--machine_type=n2-standard-8"],
            "--machine_type is 'n2-standard-8', and --gpu=nvidia-l4 goes with g2 machines",
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_contradiction_is_one_line(more, expected):
    (fault,) = faults_of(*more)
    assert expected in fault
    assert "\n" not in fault


def test_one_contradiction_does_not_hide_another():
    told = faults_of(
        *("--gpu=nvidia-l4", "--device=cpu", "--flexrs_goal=COST_OPTIMIZED", "--resource_hints=accelerator=y"),
        "--dataflow_service_options=worker_accelerator=x",
    )
    assert len(told) == 4
    assert sum("both ask for GPUs" in fault for fault in told) == 2
    assert sum("--flexrs_goal" in fault or "--device" in fault for fault in told) == 2


def test_gpus_that_beams_own_options_ask_for_get_their_machine():
    worker, debug, _ = settled("--dataflow_service_options=worker_accelerator=type:nvidia-l4;count:1")
    assert (worker.machine_type, worker.disk_size_gb) == ("g2-standard-8", 100)
    assert debug.number_of_worker_harness_threads == 8
    worker, _, _ = settled("--resource_hints=accelerator=type:nvidia-l4;count:1")
    assert worker.machine_type == "n2-standard-4"


def test_a_custom_machine_can_have_a_t4():
    assert faults_of("--gpu=nvidia-tesla-t4", "--gpu_mode=pool", "--machine_type=custom-8-32768") == []


def test_flexrs_goes_with_a_pool():
    assert faults_of("--gpu=nvidia-l4", "--gpu_mode=pool", "--flexrs_goal=COST_OPTIMIZED") == []


def test_a_proxy_url_and_weights_in_a_package_are_no_files_of_this_machine():
    assert faults_of("--proxy=http://proxy.internal:3128") == []


def test_weights_on_this_machine_are_out_of_reach(colour_spec):
    (fault,) = faults_of(f"--classifier={colour_spec}")
    assert fault.startswith("--classifier: ")
    assert "model.pt' is on this machine" in fault


def test_all_contradictions_come_at_once():
    found = faults_of("--project=", "--region=", "--gpu=nvidia-l4", "--device=cpu", "--output=out")
    assert len(found) == 4


def test_a_gpu_option_is_not_for_a_local_run():
    config, beam_options = configure([*REMOTE, "--gpu=nvidia-l4"])
    (fault,) = map(str, cloud.faults(config, beam_options))
    assert fault.startswith("--gpu=nvidia-l4 is for --runner=DataflowRunner; a local run")


def test_a_way_to_attach_gpus_needs_gpus():
    with pytest.raises(ConfigError, match="--gpu_mode=pool says how GPUs are attached or used, and --gpu is 'none'"):
        configure([*COMPLETE, "--gpu_mode=pool"])


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ("gs://bucket/Queries of May.csv", "clipscout-queries-of-may"),
        ("gs://bucket/daily/*.csv", "clipscout-daily"),
        ("gs://bucket/daily-{date}.csv,gs://bucket/more.csv", "clipscout-daily-2026-01-02"),
        ("gs://bucket/" + "long" * 30 + ".csv", "clipscout-" + ("long" * 30)[:30]),
        ("gs://bucket/ü/ä.csv", "clipscout-bucket"),
    ],
)
def test_the_job_is_named_by_its_input_and_date(inputs, expected):
    _, _, google = settled(f"--input={inputs}", "--date=2026-01-02")
    assert re.fullmatch(expected + "-[0-9a-f]{6}-20260102", google.job_name)
    assert faults_of(f"--job_name={google.job_name}") == []


def test_jobs_with_other_outputs_do_not_block_each_other():
    assert settled()[2].job_name != settled("--output=gs://bucket/other")[2].job_name


def test_flags_of_a_template_launcher_are_told_and_not_refused(capsys):
    flags = ["--template_location=gs://bucket/job", "--zone", "x", "--launcher_flag_of_tomorrow=x"]
    _, beam_options = configure([*COMPLETE, *flags])
    assert beam_options.view_as(WorkerOptions).zone == "x"
    assert capsys.readouterr().err == "clipscout: warning: unknown argument '--launcher_flag_of_tomorrow'\n"
    with pytest.raises(ConfigError, match="unknown argument '--launcher_flag_of_tomorrow'"):
        configure([*COMPLETE, "--launcher_flag_of_tomorrow=x"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DataflowRunner", True),
        ("dataflow", True),
        ("TestDataflowRunner", True),
        ("apache_beam.runners.dataflow.dataflow_runner.DataflowRunner", True),
        ("apache_beam.runners.portability.fn_api_runner.FnApiRunner", False),
        ("PortableRunner", False),
    ],
)
def test_dataflow_is_known_under_all_its_names(name, expected):
    assert is_dataflow(name) is expected


def test_settled_options_can_be_sent_as_json():
    config, beam_options = configure([*COMPLETE, "--gpu=nvidia-l4"])
    cloud.settle(config, beam_options)
    sent = json.loads(json.dumps(beam_options.get_all_options()))
    assert (sent["machine_type"], sent["disk_size_gb"]) == ("n2-standard-4", 100)
    assert sent["experiments"] == ["no_use_multiple_sdk_containers"]


def test_the_page_of_the_cloud_tells_the_machines_of_every_gpu():
    (option,) = [option for option in OPTIONS if option.name == "gpu"]
    page = (ROOT / "docs/cloud.md").read_text()
    for gpu in option.kind.split("|"):
        if gpu == "none":
            worker, _, _ = settled()
        else:
            worker, _, _ = settled(f"--gpu={gpu}", "--gpu_mode=pool")
        (row,) = [line for line in page.splitlines() if line.startswith("|") and f"`{gpu}`" in line]
        assert worker.machine_type in row
        assert f"{worker.disk_size_gb} GB" in row
