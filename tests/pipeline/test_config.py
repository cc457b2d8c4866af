"""From arguments to a checked configuration: presets, precedence, and every fault at once."""

import os

import pytest
from apache_beam.options.pipeline_options import DirectOptions, StandardOptions, WorkerOptions

from clipscout.pipeline import config, stage_settings
from clipscout.pipeline.config import ConfigError
from clipscout.pipeline.run import configure
from clipscout.transforms.core.video.sampling import Sampling


@pytest.fixture
def config_of(colour_spec):
    def config_of(*more):
        return configure(["--input=q.jsonl", "--output=out", "--classifier", colour_spec, *more])[0]

    return config_of


@pytest.fixture
def faults_of(config_of):
    def faults_of(*more):
        with pytest.raises(ConfigError) as caught:
            config_of(*more)
        return list(map(str, caught.value.faults))

    return faults_of


def test_the_default_is_the_paper(config_of):
    config = config_of()
    assert config == config_of("--preset=kinetics")
    assert (config.spans.clip_seconds, config.spans.top_k, config.spans.min_gap_seconds) == (10, 2, 10)
    assert config.scoring.sampling == Sampling(fps=2)
    assert config.scoring.response == "action"
    assert (config.cut.mode, config.replace, config.workers, config.inputs) == ("exact", False, 1, ("q.jsonl",))


def test_the_notebook_preset(config_of):
    config = config_of("--preset=notebook")
    assert config.scoring.sampling == Sampling(frame_stride=2)
    assert (config.scoring.batch_size, config.scoring.response) == (64, "any")
    assert (config.spans.clip_seconds, config.spans.top_k) == (5, 1)
    seen = config.scoring.spec.preprocessing
    assert (seen.resize, seen.input_width, seen.input_height) == ("exact", 128, 128)
    assert seen.mean == (0.43216, 0.394666, 0.37645)
    assert seen.std == (0.22803, 0.22145, 0.216989)


def test_the_user_goes_before_the_preset_and_the_preset_before_the_default(config_of):
    config = config_of("--preset=notebook", "--top_k=7", "--batch_size", "8")
    assert (config.spans.top_k, config.scoring.batch_size) == (7, 8)  # the user's
    assert (config.spans.clip_seconds, config.scoring.response) == (5, "any")  # the preset's
    assert config.cut.mode == "exact"  # the default


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], Sampling(fps=2)),
        (["--frame_stride=3"], Sampling(frame_stride=3)),
        (["--sample_fps=0.5"], Sampling(fps=0.5)),
        (["--preset=notebook"], Sampling(frame_stride=2)),
        (["--preset=notebook", "--sample_fps=4"], Sampling(fps=4)),
        (["--preset=notebook", "--frame_stride=5"], Sampling(frame_stride=5)),
        (["--preset=kinetics", "--frame_stride=5"], Sampling(frame_stride=5)),
    ],
    ids=["default", "stride", "fps", "notebook", "notebook+fps", "notebook+stride", "kinetics+stride"],
)
def test_sampling_is_by_stride_or_by_rate(config_of, given, expected):
    assert config_of(*given).scoring.sampling == expected


@pytest.mark.parametrize("preset", ["kinetics", "notebook"])
def test_stride_and_rate_exclude_each_other(faults_of, preset):
    (fault,) = faults_of(f"--preset={preset}", "--frame_stride=2", "--sample_fps=2")
    assert fault == "--sample_fps and --frame_stride exclude each other; give one"


def test_every_fault_is_reported_at_once():
    given = "--preset=imagenet --top_k=0 --clip_seconds=ten --response=best --classifier=nothing --clipseconds=4"
    with pytest.raises(ConfigError) as caught:
        configure(given.split())
    faults = list(map(str, caught.value.faults))
    assert len(faults) == len(set(faults)) == 8
    assert str(caught.value).splitlines() == faults
    for part in (
        "unknown argument '--clipseconds'; did you mean --clip_seconds?",
        "--preset is 'imagenet', expected one of kinetics, notebook",
        "--input is missing",
        "--output is missing",
        "--top_k is '0', expected a whole number from 1 to 1000",
        "--clip_seconds is 'ten', expected a number from 0.1 to 3600",
        "--response is 'best', expected one of action, any",
        "--classifier: unknown classifier 'nothing'",
    ):
        assert sum(part in fault for fault in faults) == 1, (part, faults)


@pytest.mark.parametrize(
    ("option", "value", "expectation"),
    [
        ("clip_seconds", "nan", "a number from 0.1 to 3600"),
        ("clip_seconds", "inf", "a number from 0.1 to 3600"),
        ("clip_seconds", "-1", "a number from 0.1 to 3600"),
        ("min_score", "nan", "a number from 0"),
        ("min_score", "-0.1", "a number from 0"),
        ("min_gap_seconds", "-5", "a number from 0"),
        ("sample_fps", "0", "a number from 0.001"),
        ("sample_fps", "-inf", "a number from 0.001"),
        ("frame_stride", "0", "a whole number from 1"),
        ("frame_stride", "1.5", "a whole number from 1"),
        ("top_k", "1e2", "a whole number from 1"),
        ("top_k", "1001", "a whole number from 1 to 1000"),
        ("max_frames", "inf", "a whole number from 1"),
        ("max_frames", "9" * 400, "a whole number from 1"),
        ("workers", "0", "a whole number from 1"),
        ("replace", "yes", "true or false"),
        ("cut", "fast", "one of exact, copy, none"),
        ("device", "tpu", "one of auto, cpu, cuda"),
        ("preprocessing", "none", "one of classifier, notebook"),
    ],
)
def test_a_value_that_does_not_fit(faults_of, option, value, expectation):
    (fault,) = faults_of(f"--{option}={value}")
    assert fault.startswith(f"--{option} is {value!r}, expected {expectation}")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], False),
        (["--replace"], True),
        (["--replace=true"], True),
        (["--replace", "true"], True),
        (["--replace=True"], True),
        (["--replace=false"], False),
        (["--replace", "--top_k=3"], True),
    ],
    ids=["absent", "bare", "equals", "apart", "capital", "false", "before another"],
)
def test_a_flag(config_of, given, expected):
    assert config_of(*given).replace is expected


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("--min_scor=0.5", "unknown argument '--min_scor'; did you mean --min_score?"),
        ("--top-k=3", "unknown argument '--top-k'; did you mean --top_k?"),
        ("--zzzzzz", "unknown argument '--zzzzzz'"),
        ("stray", "unknown argument 'stray'; a value follows its option, and a glob stands in quotes"),
        ("output", "unknown argument 'output'; a value follows its option, and a glob stands in quotes"),
        ("--clip_second=4", "unknown argument '--clip_second'; did you mean --clip_seconds?"),
    ],
)
def test_an_unknown_argument(faults_of, argument, hint):
    assert faults_of(argument) == [hint]


def test_options_of_beam_pass(colour_spec):
    given = ["--input=a.csv, b-*.csv.gz", "--output=out/", "--classifier", colour_spec]
    more = ["--direct_num_workers", "3", "--machine_type=n1-standard-4", "--runner=DirectRunner"]
    config, beam_options = configure([*given, *more])
    assert config.inputs == (f"{os.getcwd()}/a.csv", f"{os.getcwd()}/b-*.csv.gz")
    assert config.output == f"{os.getcwd()}/out"
    assert beam_options.view_as(DirectOptions).direct_num_workers == 3
    assert beam_options.view_as(WorkerOptions).machine_type == "n1-standard-4"
    assert beam_options.view_as(StandardOptions).runner == "DirectRunner"


def test_workers_become_processes_of_the_local_runner(colour_spec):
    _, beam_options = configure(["--input=q.csv", "--output=out", "--classifier", colour_spec, "--workers=2"])
    direct = beam_options.view_as(DirectOptions)
    assert (direct.direct_num_workers, direct.direct_running_mode) == (2, "multi_processing")


@pytest.mark.parametrize(
    ("option", "changed"),
    [
        ("--clip_seconds=5", {"clip_seconds", "min_gap_seconds"}),
        ("--top_k=3", {"top_k"}),
        ("--response=any", {"response"}),
        ("--frame_stride=2", {"frame_stride", "sample_fps", "scores"}),
        ("--preprocessing=notebook", {"preprocessing", "scores"}),
        ("--precision=bf16", {"precision", "engine", "scores"}),
        ("--engine=torch", set()),
        ("--engine=openvino", set()),
        ("--cut=none", {"cut"}),
        ("--batch_size=8", set()),
        ("--workers=2", set()),
        ("--manifest_shards=4", set()),
        ("--device=cpu", set()),
    ],
)
def test_what_shapes_the_results_is_recorded_and_nothing_else(config_of, option, changed):
    before, after = config_of().shaping(), config_of(option).shaping()
    assert {name for name in after if after[name] != before[name]} == changed


def test_in_bf16_scores_are_those_of_an_engine(config_of, monkeypatch):
    """In fp32 both agree to 1e-4; those of torch stay what they were before there was another engine."""
    torch, openvino, either = (
        config_of("--precision=bf16", f"--engine={name}") for name in ("torch", "openvino", "auto")
    )
    assert (torch.shaping()["engine"], openvino.shaping()["engine"]) == ("torch", "openvino")
    assert torch.shaping()["scores"] != openvino.shaping()["scores"] == either.shaping()["scores"]
    monkeypatch.setattr(stage_settings, "openvino_version", lambda: None)
    assert config_of("--precision=bf16").shaping() == torch.shaping()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--device=cuda",), "--engine=openvino runs on a CPU, and --device is 'cuda'"),
        (("--precision=fp16",), "--engine=openvino runs on a CPU, and --precision is 'fp16'"),
        (("--gpu=nvidia-l4",), "--engine=openvino runs on a CPU, and --gpu is 'nvidia-l4'"),
    ],
)
def test_openvino_is_for_processors(faults_of, options, said):
    assert said in faults_of("--engine=openvino", *options)


def test_an_engine_that_is_not_installed_is_named(faults_of, monkeypatch):
    monkeypatch.setattr(config, "openvino_version", lambda: None)
    (fault,) = faults_of("--engine=openvino")
    assert fault == "--engine is 'openvino', which is not installed: pip install 'clipscout[cpu]'"


@pytest.mark.parametrize(
    ("options", "decoder", "model"),
    [
        ((), 8, 8),
        (("--workers=2",), 4, 4),
        (("--workers=4", "--model_copies=1"), 2, 8),
        (("--workers=4", "--model_copies=2"), 2, 4),
        (("--workers=4", "--model_copies=2", "--threads=3"), 3, 3),
        (("--workers=100",), 1, 1),
    ],
)
def test_workers_and_copies_share_the_cores(config_of, monkeypatch, options, decoder, model):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    scoring = config_of(*options).scoring
    assert (scoring.threads, scoring.load_settings().cores()) == (decoder, model)
