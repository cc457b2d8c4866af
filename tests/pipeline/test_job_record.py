"""The settings of an output, as earlier versions recorded them: missing ones have their default, options their name."""

import json
import shutil

import pytest

from clipscout.pipeline import job_record
from clipscout.pipeline.options import OPTIONS
from clipscout.pipeline.run import configure, main
from tests.jobs import arguments, run_rows, scene_video, summary_of

#: As the version before the first number of a record wrote it, but for what names a classifier.
VERSION_1 = {
    "response": "action", "prompts": "", "sampling_frame_stride": None, "sampling_fps": 2.0,
    "sampling_keyframes": False,
    "clip_seconds": 2.0, "top_k": 2, "min_score": 0.5, "min_gap_seconds": 2.0, "edges": "shift", "smooth_seconds": 0.0,
    "span_mode": "peaks", "high_score": 0.5, "low_score": 0.25, "merge_gap_seconds": 1.0, "min_span_seconds": 1.0,
    "max_span_seconds": 60.0, "shots": "ignore", "clips_per_video": None, "clips_per_channel": None,
    "clips_per_action": None, "cut": "exact", "clip_height": None, "posters": True, "clip_max_height": None,
    "max_height": 144, "height_cap": 720, "max_bytes": 2000000000, "copy_inputs": False, "min_seconds": 0.0,
    "max_seconds": 14400.0, "licence": "any",
}  # fmt: skip
OPTIONS_GIVEN = ("--clip_seconds=2", "--min_score=0.5")


def config_of(classifier, *more):
    given = ["--input=q.jsonl", "--output=out", "--classifier", classifier, "--shots=ignore", *OPTIONS_GIVEN, *more]
    return configure(given)[0]


@pytest.fixture
def differences(tmp_path, colour_spec):
    """Returns in what a job with more options differs from a record; the record is of the same classifier."""
    same = config_of(colour_spec)

    def differences(record, *more, classifier=colour_spec):
        if "settings" not in record:
            record = {"classifier": "colours.json", "scores": same.scoring.fingerprint(), **record}
        (tmp_path / "job.json").write_text(json.dumps(record))
        return job_record.changes(str(tmp_path), config_of(classifier, *more).shaping())

    return differences


def test_what_is_recorded_has_the_name_and_the_default_of_its_option(colour_spec):
    names = {option.name for option in OPTIONS}
    plain = configure(["--input=q.jsonl", "--output=out", "--classifier", colour_spec])[0].shaping()
    assert {*plain} - names == {"scores"}
    resolved = {"classifier", "scores", "min_gap_seconds", "sample_fps"}
    assert {name: value for name, value in plain.items() if name not in resolved} == {
        name: job_record.default(name) for name in plain if name not in resolved
    }


@pytest.mark.parametrize(
    ("without", "more", "expected"),
    [
        ((), (), {}),
        ((), ("--top_k=1",), {"top_k": "top_k: 2 there, 1 now"}),
        (("posters", "clip_max_height", "shots"), (), {"shots": "shots: avoid there, ignore now"}),
        (("posters",), ("--posters=false",), {"posters": "posters: True there, False now"}),
        ((), ("--max_video_mb=5",), {"max_video_mb": "max_video_mb: 2000.0 there, 5.0 now"}),
        ((), ("--max_height_cap=480",), {"max_height_cap": "max_height_cap: 720 there, 480 now"}),
        ((), ("--min_video_seconds=1",), {"min_video_seconds": "min_video_seconds: 0.0 there, 1.0 now"}),
        ((), ("--clip_height=100",), {"clip_height": "clip_height: none there, 100 now"}),
        ((), ("--sampling=keyframes",), {
            "sampling": "sampling: frames there, keyframes now", "sample_fps": "sample_fps: 2.0 there, none now",
        }),
    ],
    ids=["same", "other", "missing", "missing and other", "bytes", "cap", "filter", "cap there is none", "sampling"],
)  # fmt: skip
def test_a_record_of_version_1_is_understood(differences, without, more, expected):
    record = {name: value for name, value in VERSION_1.items() if name not in without}
    assert differences(record, *more) == expected


def test_an_option_that_a_record_does_not_know_has_its_default(differences, colour_spec):
    there = config_of(colour_spec).shaping()
    del there["merge_gap_seconds"], there["posters"]
    record = {"version": 2, "settings": {**there, "an_option_that_is_gone": 5}}
    assert differences(record) == {}
    assert differences(record, "--merge_gap_seconds=3") == {
        "merge_gap_seconds": "merge_gap_seconds: 1.0 there, 3.0 now"
    }


def test_a_classifier_is_what_it_is_and_not_where_it_lies(differences, colour_spec, tmp_path):
    shutil.copy(colour_spec, tmp_path / "moved.json")
    shutil.copy(colour_spec.replace("colours.json", "model.pt"), tmp_path / "model.pt")
    assert differences(VERSION_1, classifier=str(tmp_path / "moved.json")) == {}
    other = {"classifier": "colours.json", "scores": "0123456789abcdef"}
    told = "classifier: other weights, labels or preprocessing there than colours.json has now"
    assert differences({**VERSION_1, **other}) == {"classifier": told}
    assert differences({**VERSION_1, **other, "sampling_fps": 4.0}) == {"sample_fps": "sample_fps: 4.0 there, 2.0 now"}


def test_a_record_of_a_later_version_is_refused(differences):
    with pytest.raises(job_record.RecordError, match="of a later version of Clipscout"):
        differences({"version": 3, "settings": {}})


def test_an_option_that_nobody_gave_changes_no_fingerprint_of_settings(colour_spec, monkeypatch):
    """A later version has more options: rows of an earlier one keep their `settings`."""
    config = config_of(colour_spec)
    more = {**config.shaping(), "merge_gap_seconds": 1.0}
    fewer = {name: value for name, value in more.items() if name != "merge_gap_seconds"}
    assert job_record.by_hand(more) == job_record.by_hand(fewer)
    assert config.identity()["settings"] != config_of(colour_spec, "--top_k=1").identity()["settings"]
    assert config.identity()["settings"] != config_of(colour_spec, "--frame_stride=2").identity()["settings"]


def test_an_output_of_an_earlier_version_goes_on(tmp_path, colour_spec):
    scene_video(tmp_path / "a.mp4", ("grey", 3), ("red", 2))
    rows = [{"action": "red", "path": str(tmp_path / "a.mp4")}]
    given = arguments(tmp_path, rows, colour_spec, *OPTIONS_GIVEN)
    assert main(given) == 0
    record = tmp_path / "output/job.json"
    scores = json.loads(record.read_text())["settings"]["scores"]
    old = {name: value for name, value in VERSION_1.items() if name != "posters"}
    record.write_text(json.dumps({"classifier": "colours.json", "scores": scores, **old}))
    status, output = run_rows(tmp_path, None, colour_spec, *OPTIONS_GIVEN)
    assert status == 0
    assert summary_of(output)["reused"] == {"videos": 0, "tracks": 1, "clips": 1}
    assert json.loads(record.read_text())["version"] == 2
