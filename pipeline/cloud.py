"""Dataflow: what follows from the choice of a GPU, and which options contradict each other. No request is made here."""

import ast
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    TestOptions,
    WorkerOptions,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.transforms.resources import resource_hints_from_options

from clipscout import __version__
from clipscout.pipeline.config import Config
from clipscout.pipeline.faults import Fault, of
from clipscout.pipeline.machines import WITH_GPU, WITHOUT_GPU, Machine
from clipscout.transforms.core.storage import filesystem, naming, secret_manager

_OBJECT = re.compile("gs://[^/]+/.*[^/]")
_IMAGE_NAME = re.compile(r"\w[\w.:/@-]*", re.ASCII)
_REGION = re.compile(r"[a-z]+(-[a-z]+)+\d+")
_JOB_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL, _LABEL_VALUE = re.compile(r"[^\W\d_][\w-]{0,62}"), re.compile(r"[\w-]{0,63}")


#: Variable that our image sets to its own name: a launcher that runs in it starts the workers from it too.
IMAGE_VARIABLE = "CLIPSCOUT_IMAGE"
#: With right fitting the service chooses the machine of the scoring stage; this one is for downloads and cutting.
_BESIDE_GPU_MACHINE = "n2-standard-4"
#: A decoder per thread at its usual cap of 2 GB, and a model.
_SCORING_RAM = "24GB"


def accelerator(config: Config) -> str:
    """Returns how Dataflow is asked for one GPU of a type, with its driver and the machine that it is attached to."""
    driver = "" if config.gpu_driver == "default" else f":{config.gpu_driver}"
    parts = [f"type:{config.gpu}", "count:1"]
    if config.gpu_mode == "right_fit":  # of hinted steps the job's own machine type does not count
        parts.append(f"machine_type:{WITH_GPU[config.gpu].machine_type}")
    parts.append(f"install-nvidia-driver{driver}")
    if config.gpu_provisioning == "FLEX_START":
        parts.append("provisioning_model:FLEX_START")
    if config.gpu_processes == "per_vcpu":
        parts.append("use_nvidia_mps")
    return ";".join(parts)


def resource_hints(config: Config) -> dict[str, str]:
    """Returns the hints of the stage that decodes and scores; empty unless its workers are fitted to it."""
    if config.gpu == "none" or config.gpu_mode != "right_fit":
        return {}
    return {"accelerator": accelerator(config), "min_ram": _SCORING_RAM}


def faults(config: Config, beam_options: PipelineOptions) -> list[Fault]:
    """Returns each way in which the options of a Dataflow job are incomplete or contradict each other."""
    if not config.dataflow:
        if config.gpu == "none":
            return []
        message = f"--gpu={config.gpu} is for --runner=DataflowRunner; a local run takes the GPU that it has (--device)"
        return [Fault(message, ("gpu", "runner", "device"))]
    workers = [of("workers", "is for the local runner; Dataflow has --num_workers and --max_num_workers")]
    return [
        *_launch_faults(config, beam_options),
        *_faults_that_beam_finds(beam_options),
        *(workers if config.workers > 1 else ()),
        *_gpu_faults(config, beam_options),
        *_path_faults(config),
    ]


def _launch_faults(config: Config, beam_options: PipelineOptions) -> Iterator[Fault]:
    """Yields the faults of Beam's own options for a Dataflow job."""
    google, worker = beam_options.view_as(GoogleCloudOptions), beam_options.view_as(WorkerOptions)
    setup = beam_options.view_as(SetupOptions)
    if not google.project:
        yield of("project", "is missing: the Google Cloud project that pays for the job")
    if not google.region:
        yield of("region", "is missing, e.g. us-central1")
    elif not _REGION.fullmatch(google.region):
        yield of("region", f"is {google.region!r}, expected a region such as us-central1 (not a zone)")
    if not google.temp_location:
        yield of("temp_location", "is missing: a folder on gs:// for the job's temporary files")
    for name in ("temp_location", "staging_location", "template_location"):
        uri = getattr(google, name)
        if uri and not filesystem.is_remote(uri):
            yield of(name, f"is {uri!r}, expected a place on gs://")
    if filesystem.is_remote(google.template_location or "") and not _OBJECT.fullmatch(google.template_location):
        yield of("template_location", f"is {google.template_location!r}, expected gs://BUCKET/FILE")
    if google.job_name and not _JOB_NAME.fullmatch(google.job_name):
        yield of("job_name", f"is {google.job_name!r}, expected up to 63 of a-z, 0-9 and -, a letter first")
    brought = (setup.setup_file, setup.extra_packages, setup.prebuild_sdk_container_engine)
    if not _image(worker) and (_asks(config, beam_options) or not any(brought)):
        message = "is missing: the image that templates/README.md builds, with Clipscout in it"
        yield of("sdk_container_image", message)
    if _image(worker) and not _IMAGE_NAME.fullmatch(_image(worker)):
        yield of("sdk_container_image", f"is {_image(worker)!r}, expected the name of an image")
    if google.update:
        yield of("update", ": a batch job cannot be updated; let it end, or cancel it")
    for experiment in beam_options.view_as(DebugOptions).experiments or []:
        if re.match("disable_(prime_)?runner_v2|disable_portable_runner", experiment):
            yield Fault(f"--experiments={experiment}: Beam's Python jobs need Runner v2", ("experiments",))
    if beam_options.view_as(StandardOptions).streaming:
        yield of("streaming", ": a job of Clipscout is a batch job")
    if beam_options.view_as(TestOptions).dry_run:
        yield of("dry_run", ": give --preflight_only instead, which checks more")
    try:
        labels = _labels(google)
    except (ValueError, SyntaxError, AttributeError, TypeError):
        yield of("labels", ": expected KEY=VALUE, or a dictionary of texts")
        return
    for key, value in labels.items():
        if not (_LABEL.fullmatch(key) and _LABEL_VALUE.fullmatch(value) and key + value == (key + value).lower()):
            message = f": {key}={value} is no label: lower-case letters, digits, - and _, up to 63, a letter first"
            yield of("labels", message)


def _labels(google: GoogleCloudOptions) -> dict[str, str]:
    """Returns the labels that are given, in any of the forms that Beam takes."""
    labels: dict[str, str] = {}
    for text in google.labels or []:
        if "{" in text:
            labels |= {str(key): str(value) for key, value in ast.literal_eval(text).items()}
        else:
            key, _, value = text.partition("=")
            labels[key] = value
    return labels


def _image(worker: WorkerOptions) -> str:
    return worker.sdk_container_image or os.environ.get(IMAGE_VARIABLE, "")


def _faults_that_beam_finds(beam_options: PipelineOptions) -> Iterator[Fault]:
    """Yields what Beam would say after the graph is built, of its checks those that make no request."""
    google, worker = beam_options.view_as(GoogleCloudOptions), beam_options.view_as(WorkerOptions)
    validator = PipelineOptionsValidator(beam_options, None)
    # without a region it asks gcloud; a stand-in of the service counts as no address of it
    if google.project and google.region and "//localhost" not in (google.dataflow_endpoint or ""):
        texts = validator.validate_cloud_options(google)
        yield from (Fault(text) for text in texts if "job_name" not in text and "updating" not in text)  # told by us
    yield from map(Fault, validator.validate_num_workers(worker))
    yield from map(Fault, validator.validate_optional_argument_positive(worker, "disk_size_gb"))
    yield from map(Fault, validator.validate_worker_region_zone(worker))
    yield from map(Fault, validator.validate_sdk_container_image_options(worker))
    yield from map(Fault, validator.validate_container_prebuilding_options(beam_options.view_as(SetupOptions)))
    try:
        resource_hints_from_options(beam_options)
    except (ValueError, TypeError) as error:
        yield of("resource_hints", f": {error}")


class GpuRequest(NamedTuple):
    """A way in which GPUs are asked for: by `--gpu`, or by Beam's own options.

    Attributes:
      words: How the user wrote it.
      gpu: The type; empty where it is not told.
      fitted_by: What asks for right fitting; empty for a pool.
    """

    words: str
    gpu: str
    fitted_by: str


def _asks(config: Config, beam_options: PipelineOptions) -> list[GpuRequest]:
    """Returns every way in which GPUs are asked for; more than one is a contradiction."""
    google = beam_options.view_as(GoogleCloudOptions)
    experiments = beam_options.view_as(DebugOptions).experiments or []  # where the service option was spelled once
    services = [*(google.dataflow_service_options or []), *experiments]
    asks = []
    if config.gpu != "none":
        fitted_by = "--gpu_mode=right_fit" if config.gpu_mode == "right_fit" else ""
        asks.append(GpuRequest(f"--gpu={config.gpu}", config.gpu, fitted_by))
    asks += [GpuRequest(repr(text), _gpu_in(text), "") for text in services if text.startswith("worker_accelerator")]
    for text in beam_options.get_all_options().get("resource_hints") or ():
        if text.partition("=")[0] == "accelerator":
            words = f"the resource hint {text!r}"
            asks.append(GpuRequest(words, _gpu_in(text), words))
    return asks


def _gpu_in(text: str) -> str:
    named = re.search(r"type:([\w-]+)", text)
    return named[1] if named else ""


def _fitted_by(asks: list[GpuRequest]) -> str:
    """Returns what asks for right fitting; empty where nothing does."""
    return next((ask.fitted_by for ask in asks if ask.fitted_by), "")


def _shape(asks: list[GpuRequest]) -> Machine:
    return WITH_GPU.get(asks[0].gpu, WITHOUT_GPU) if asks else WITHOUT_GPU


def _gpu_faults(config: Config, beam_options: PipelineOptions) -> Iterator[Fault]:
    asks = _asks(config, beam_options)
    if not asks:
        if config.scoring.device == "cuda":
            yield Fault("--device=cuda needs a GPU, and --gpu is 'none'", ("device", "gpu"))
        if config.scoring.precision == "fp16":
            yield Fault("--precision=fp16 needs a GPU, and --gpu is 'none'", ("precision", "gpu"))
        return
    first, *others = (ask.words for ask in asks)
    for other in others:
        yield Fault(f"{first} and {other} both ask for GPUs; give one", ("gpu",))
    if config.scoring.device == "cpu":
        yield of("device", f"is 'cpu', and {first} asks for GPUs", "gpu")
    fitted_by, shape = _fitted_by(asks), _shape(asks)
    if beam_options.view_as(GoogleCloudOptions).flexrs_goal and fitted_by:
        yield Fault(f"{fitted_by} and --flexrs_goal exclude each other; give --gpu_mode=pool", ("gpu_mode",))
    machine = beam_options.view_as(WorkerOptions).machine_type
    if machine and shape.series and not fitted_by and not machine.startswith(shape.series):
        series = " or ".join(name.rstrip("-") for name in shape.series)
        yield of("machine_type", f"is {machine!r}, and {first} goes with {series} machines", "gpu")


def _path_faults(config: Config) -> Iterator[Fault]:
    """Yields what Dataflow's workers cannot reach."""
    web = config.fetch.web
    named = {
        "input": config.inputs,
        "output": (config.output,),
        "exclude": config.excludes,
        "cookies": (web.cookies,) if web.cookies and not secret_manager.is_secret(web.cookies) else (),
        "classifier": config.scoring.spec.own_files(),
        "reference": config.duplicates.references,
        "duplicate_features": config.describe.spec.own_files() if config.describe and config.describe.named else (),
    }
    for name, paths in named.items():
        for path in paths:
            if not filesystem.is_remote(path):
                yield of(name, f": {path!r} is on this machine; Dataflow's workers read and write gs:// only")
    if web.proxy and "://" not in web.proxy and not secret_manager.is_secret(web.proxy):
        yield of("proxy", "names a file on this machine; Dataflow's workers read gs:// only")
    elif "@" in web.proxy and not filesystem.is_remote(web.proxy):
        message = "holds a password, which a Dataflow job would keep in its files; name a file on gs:// instead"
        yield of("proxy", message)


def on_its_gpus(config: Config, beam_options: PipelineOptions) -> Config:
    """Returns a job that does not score on processors where the GPUs that Beam's own options ask for are of no use."""
    if not config.dataflow or config.scoring.device != "auto" or not _asks(config, beam_options):
        return config
    return replace(config, scoring=replace(config.scoring, device="cuda"))


def settle(config: Config, beam_options: PipelineOptions) -> None:
    """Fills in what a Dataflow job needs and the user did not set: machines, disk, processes, threads, name, labels."""
    google, worker = beam_options.view_as(GoogleCloudOptions), beam_options.view_as(WorkerOptions)
    debug = beam_options.view_as(DebugOptions)
    asks = _asks(config, beam_options)
    shape, fitted = _shape(asks), bool(_fitted_by(asks))
    worker.machine_type = worker.machine_type or (_BESIDE_GPU_MACHINE if fitted else shape.machine_type)
    worker.sdk_container_image = _image(worker) or None
    worker.disk_size_gb = worker.disk_size_gb or shape.disk_gb
    if debug.number_of_worker_harness_threads is None:
        one = config.gpu_processes == "one"
        debug.number_of_worker_harness_threads = shape.threads if one else WITHOUT_GPU.threads
    experiments = debug.experiments or []
    shared = config.scoring.model_copies or config.gpu_processes == "per_vcpu"
    if shape.one_process and not shared and "use_multiple_sdk_containers" not in experiments:
        debug.add_experiment("no_use_multiple_sdk_containers")
    if config.gpu != "none" and not fitted:
        services = google.dataflow_service_options or []
        google.dataflow_service_options = [*services, f"worker_accelerator={accelerator(config)}"]
    google.job_name = google.job_name or job_name(config)
    taken = _labels(google)
    own = {"clipscout-version": __version__.replace(".", "-"), "clipscout-preset": config.preset}
    google.labels = [f"{name}={value}" for name, value in {**own, **taken}.items()]


def job_name(config: Config) -> str:
    """Returns a name from the input, the output and the date: Dataflow refuses a second job of a name that runs."""
    path = config.inputs[0].removeprefix("gs://").lower()
    stems = (re.sub(r"[^a-z0-9]+", "-", part.split(".")[0]).strip("-") for part in reversed(path.split("/")))
    digest = naming.digest(f"{config.inputs} {config.output}", 6)
    return f"clipscout-{next(filter(None, stems), 'job')[:30].strip('-')}-{digest}-{config.date:%Y%m%d}"


def about(config: Config, beam_options: PipelineOptions) -> list[str]:
    """Returns what a settled Dataflow job will use, as lines for a person."""
    google, worker = beam_options.view_as(GoogleCloudOptions), beam_options.view_as(WorkerOptions)
    own = ", ".join(ask.words for ask in _asks(config, beam_options))
    gpu = (own or "no GPU") if config.gpu == "none" else f"{config.gpu} ({config.gpu_mode})"
    return [
        f"job        {google.job_name} in {google.project}, {google.region}",
        f"workers    {worker.machine_type}, {worker.disk_size_gb} GB, {gpu}",
        f"image      {worker.sdk_container_image or 'of Beam'}",
    ]
