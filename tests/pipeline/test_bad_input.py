"""Input that cannot be used: a line each, exit status 2, and nothing is run or written."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clipscout.pipeline.options import OPTIONS
from clipscout.pipeline.run import main
from tests.colours import COLOURS
from tests.jobs import arguments, run_cli


@pytest.fixture
def rejected(tmp_path, capsys):
    """Runs arguments that must be refused; returns the lines of stderr after the checks that hold for all of them."""

    def rejected(*given):
        before = sorted(tmp_path.rglob("*"))
        assert main([str(argument) for argument in given]) == 2
        printed = capsys.readouterr()
        lines = printed.err.splitlines()
        assert lines
        assert [line for line in lines if not line.startswith("clipscout: ")] == []
        assert printed.out == ""
        assert set(tmp_path.rglob("*")) - set(before) <= {tmp_path / "output"}
        return lines

    return rejected


@pytest.fixture
def usable(tmp_path, colour_spec):
    """Arguments that would run."""
    return arguments(tmp_path, [{"action": "red", "path": "/nowhere.mp4"}], colour_spec)


def with_spec(tmp_path, colour_spec, usable, **changes):
    """Returns usable arguments but for a changed copy of the colour classifier's spec (None removes a field)."""
    fields = json.loads(Path(colour_spec).read_text())
    fields["weights"] = str(colour_spec).replace("colours.json", "model.pt")
    fields = {name: value for name, value in {**fields, **changes}.items() if value is not None}
    (tmp_path / "spec.json").write_text(json.dumps(fields))
    return [*usable, "--classifier", tmp_path / "spec.json"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--input=/nowhere/q.jsonl"], ["--input: no file matches '/nowhere/q.jsonl'"]),
        (["--input=/nowhere/a.csv,/nowhere/b*.csv"], ["'/nowhere/a.csv'", "'/nowhere/b*.csv'"]),
        (["--input="], ["--input is missing"]),
        (["--output="], ["--output is missing"]),
        (["--classifier=resnet"], ["unknown classifier 'resnet': expected lite0, torchvision:NAME"]),
        (
            ["--classifier=torchvision:no_such_net"],
            ["classification model 'no_such_net'; the closest are "],
        ),
        (["--classifier=torchvision:resnet_50"], ["the closest are resnet50, "]),
        (["--classifier=torchvision:raft_small"], ["no image or video classification model 'raft_small'"]),
        (["--classifier=torchvision:resnet18:V9"], ["resnet18 has no weights 'V9'; it has IMAGENET1K_V1"]),
        (["--classifier=/nowhere/spec.json"], ["/nowhere/spec.json: does not exist"]),
        (["--frame_stride=2", "--sample_fps=2"], ["--sample_fps and --frame_stride exclude each other"]),
        (["--top_k=0", "--cutt=none"], ["unknown argument '--cutt'; did you mean --cut?", "--top_k is '0'"]),
        (["--runner=NoSuchRunner"], ["NoSuchRunner"]),
        (["--output"], ["--output"]),
    ],
    ids=[
        "missing input",
        "two missing inputs",
        "no input",
        "no output",
        "unknown classifier",
        "unknown architecture",
        "misspelled architecture",
        "not an image classifier",
        "unknown weights",
        "missing spec",
        "contradictory options",
        "two faults",
        "unknown runner",
        "option without its value",
    ],
)
def test_options_that_cannot_be_used(usable, rejected, more, expected):
    lines = rejected(*usable, *more)
    assert len(lines) == len(expected)
    for line, part in zip(lines, expected, strict=True):
        assert part in line


def test_an_input_of_an_unknown_format(tmp_path, usable, rejected):
    (tmp_path / "queries.xlsx").write_bytes(b"")
    (line,) = rejected(*usable, "--input", tmp_path / "queries.xlsx")
    assert "queries.xlsx is none of .jsonl" in line


@pytest.mark.parametrize("below", ["", "/results"], ids=["is a file", "below a file"])
def test_an_output_that_cannot_be_written(tmp_path, usable, rejected, below):
    (tmp_path / "file").write_text("mine")
    (line,) = rejected(*usable, "--output", f"{tmp_path / 'file'}{below}")
    assert line.startswith("clipscout: --output: cannot write to ")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"resise": "crop"}, "unknown field 'resise'; did you mean 'resize'?"),
        ({"architecture": None}, "the field 'architecture' is missing"),
        ({"architecture": "tensorflow"}, "architecture is 'tensorflow', expected torchvision:NAME"),
        ({"architecture": "torchvision:no_such_net"}, "no_such_net"),
        ({"labels": "labels.txt"}, "labels.txt: does not exist"),
        ({"labels": list(COLOURS)[:3]}, "the model gives 4 scores, labels names 3"),
        ({"labels": []}, "labels"),
        ({"weights": "no-such-file.pt"}, "no-such-file.pt: does not exist"),
        ({"weights": "spec.json"}, "spec.json"),
        ({"activation": "relu"}, "activation is 'relu', expected one of softmax"),
        ({"resize": "stretch"}, "resize is 'stretch', expected one of squash, crop, exact"),
        ({"input_width": "wide"}, "input_width"),
        ({"input_width": 0}, "expected pixels"),
        ({"mean": [0, 0]}, "expected three numbers"),
        ({"mean": "grey"}, "mean"),
        ({"interpolation": "cubic"}, "interpolation"),
    ],
    ids=[
        "unknown field",
        "missing field",
        "unknown architecture",
        "unknown torchvision architecture",
        "missing labels file",
        "number of labels",
        "no labels",
        "missing weights",
        "weights that are none",
        "activation",
        "resize",
        "size is text",
        "size is zero",
        "two means",
        "mean is text",
        "interpolation",
    ],
)
def test_a_classifier_spec_that_cannot_be_used(tmp_path, colour_spec, usable, rejected, changes, expected):
    (line,) = rejected(*with_spec(tmp_path, colour_spec, usable, **changes))
    assert line.startswith("clipscout: --classifier: ")
    assert expected in line


def test_a_spec_that_is_no_mapping(tmp_path, usable, rejected):
    (tmp_path / "spec.yaml").write_text("- a\n- b\n")
    (line,) = rejected(*usable, "--classifier", tmp_path / "spec.yaml")
    assert "expected a mapping of fields" in line


def test_a_spec_that_is_no_yaml(tmp_path, usable, rejected):
    (tmp_path / "spec.yaml").write_text("a: [1\nb: }")
    (line,) = rejected(*usable, "--classifier", tmp_path / "spec.yaml")
    assert "spec.yaml" in line


def test_a_damaged_record_in_the_output(tmp_path, usable, rejected):
    (tmp_path / "output").mkdir()
    (tmp_path / "output/job.json").write_text("{")
    (line,) = rejected(*usable)
    assert "job.json is damaged" in line


def test_the_command_itself_exits_with_2(tmp_path, colour_spec):
    given = ("--input", tmp_path / "none.csv", "--output", tmp_path / "output", "--classifier", colour_spec)
    done = run_cli(*given, "--progress=none")  # a slow start would speak too
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [f"clipscout: --input: no file matches {str(tmp_path / 'none.csv')!r}"]


def test_help_shows_every_option_below_its_group(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    shown = capsys.readouterr().out
    assert stopped.value.code == 0
    places = [shown.index(f"\n{group}:\n") for group in dict.fromkeys(option.group for option in OPTIONS)]
    assert places == sorted(places)
    for option in OPTIONS:
        assert shown.index(f"\n{option.group}:\n") < shown.rindex(f"--{option.name} ")


def test_help_waits_for_no_library():
    command = [sys.executable, "-X", "importtime", "-m", "pipeline", "mine", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "--input TEXT" in done.stdout
    assert not re.search(r"\| +(torch|apache_beam|av|numpy|rich)$", done.stderr, re.MULTILINE)
