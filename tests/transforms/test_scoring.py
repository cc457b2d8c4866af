"""The scoring stage: dying decoders, batches over several videos, and a classifier that fails on one of them."""

import contextlib
import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import torch
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from clipscout.pipeline.run import configure
from clipscout.transforms.core.child.supervisor import Child
from clipscout.transforms.core.storage import filesystem, tracks
from clipscout.transforms.failures import Failure
from clipscout.transforms.flow import Flow
from clipscout.transforms.records import Ask, Flush, ScoreTrack, Segment, Video, VideoRequest
from clipscout.transforms.score_tracks import Assemble, _track
from clipscout.transforms.scoring import ScoreVideos
from clipscout.transforms.stored_scores import report_of
from tests.colours import COLOURS
from tests.conftest import read_jsonl
from tests.jobs import by_source, measured, run_measured, scene_video, summary_of
from tests.transforms.alone import alone

STREAMS, SHUFFLES = Flow(streams=True), Flow(streams=False)


def rule_of(colour_spec):
    """Returns a rule with tiny batches, so that the decoder waits for the classifier most of the time."""
    more = ["--frame_stride=1", "--batch_size=4", "--device=cpu", "--stall_seconds=30"]
    return configure(["--input=unused.csv", "--output=unused", "--classifier", colour_spec, *more])[0].scoring


def video_of(path):
    """Returns the record of a made video, as the stage before gives it."""
    size, content = filesystem.size_and_digest(str(path))
    key = Path(path).stem
    request = VideoRequest(key, (Ask("red", ("red",), "q:1"), Ask("blue", ("blue",), "q:2")), path=str(path))
    return Video(
        key, str(path), request, size, content, None, 192, 108, 10.0, {"container": "mov,mp4", "codec": "h264"}
    )


class Killer:
    """Kills children of this process that hold certain files open: file name -> how many of them, at most."""

    def __init__(self, deaths):
        self.left, self.killed = dict(deaths), []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _watch(self):
        while not self._stop.is_set():
            for pid in children():
                for name in open_files(pid) & {name for name, left in self.left.items() if left}:
                    if pid not in self.killed:
                        time.sleep(0.05)  # some samples are on their way
                        self.left[name] -= 1
                        self.killed.append(pid)
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)


def children(of="self"):
    """Yields the processes that this one started, and those that these started."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{of}/task").iterdir():
            for pid in (task / "children").read_text().split():
                yield int(pid)
                yield from children(pid)


def open_files(pid):
    names = set()
    with contextlib.suppress(OSError):
        for descriptor in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                names.add(os.path.basename(os.readlink(descriptor.path)))
    return names


def score(output, rule, paths, videos=None, flow=STREAMS, bundle_repeat=0):
    """Runs the stage alone; returns the track of each video, the failures, and the counters."""
    videos = videos or [video_of(path) for path in paths]
    collected = output / "failures.txt"
    pipeline = beam.Pipeline(runner=FnApiRunner(bundle_repeat=bundle_repeat))
    scored = pipeline | beam.Create(videos, reshuffle=False) | ScoreVideos(str(output), rule, flow)
    _ = scored.failures | beam.Map(_line) | beam.io.WriteToText(str(collected), shard_name_template="")
    result = pipeline.run()
    result.wait_until_finish()
    found = {video.key: stored_track(output, rule, video) for video in videos}
    return found, [json.loads(line) for line in collected.read_text().splitlines()], measured(result)[0]


def stored_track(output, rule, video):
    """Returns what is stored of a video as its track, None where there is none."""
    stored = tracks.read(tracks.TrackFiles(str(output), rule.fingerprint(), video.content_key).track())
    if stored is None:
        return None
    report = report_of(Segment((video,), 0, 1, 0.0, None), stored)
    return _track(video, stored.scores, report)


def _line(failure: Failure) -> str:
    return json.dumps(failure.to_row())


def assert_same_track(track: ScoreTrack, expected: ScoreTrack):
    np.testing.assert_array_equal(track.times, expected.times)
    np.testing.assert_array_equal(track.frame_indices, expected.frame_indices)
    np.testing.assert_allclose(track.responses, expected.responses, atol=1e-6)
    assert track.top_labels == expected.top_labels
    assert (track.frames_decoded, track.decoded_seconds) == (expected.frames_decoded, expected.decoded_seconds)


def test_a_killed_decoder_is_tried_once_more_and_costs_only_its_own_video(tmp_path, colour_spec):
    for name, place in (("twin", 0), ("once", 1), ("twice", 2)):  # the same pictures, another content
        path = scene_video(tmp_path / f"{name}.mp4", ("grey", 30), ("red", 40), ("blue", 50))
        with open(path, "ab") as file:
            file.write(b"\0\0\0\x09free" + bytes([place]))
    other = scene_video(tmp_path / "other.mp4", ("grey", 1), ("red", 1))
    paths = [other, *(str(tmp_path / f"{name}.mp4") for name in ("once", "twice", "twin"))]
    with Killer({"once.mp4": 1, "twice.mp4": 2}) as killer:
        found, failures, counters = score(tmp_path, rule_of(colour_spec), paths)
    assert killer.left == {"once.mp4": 0, "twice.mp4": 0}
    assert len(found["twin"].times) == 1200
    assert_same_track(found["once"], found["twin"])
    assert len(found["other"].times) == 20
    assert found["twice"] is None
    (failure,) = failures
    assert (failure["code"], failure["key"], failure["attempts"]) == ("decode_crashed", "twice", 2)
    assert "SIGKILL" in failure["message"]
    assert counters["ScoreVideos/failed-decode_crashed"] == 1
    assert counters["ScoreVideos/in-segments"] == 4
    assert counters["ScoreVideos/out-tracks"] == 3


@pytest.mark.parametrize("flow", [STREAMS, SHUFFLES], ids=["streams", "shuffles"])
def test_frames_of_several_videos_share_a_batch(tmp_path, colour_spec, flow):
    for number in range(8):
        scene_video(tmp_path / f"{number}.mp4", ("red", 0.3), ("grey", 0.2))
        with open(tmp_path / f"{number}.mp4", "ab") as file:
            file.write(b"\0\0\0\x09free" + bytes([number]))
    rule = replace(rule_of(colour_spec), batch_size=16)
    _, failures, counters = score(tmp_path, rule, [tmp_path / f"{number}.mp4" for number in range(8)], flow=flow)
    assert failures == []
    assert counters["ScoreVideos/samples"] == 8 * 5
    assert 3 <= counters["ScoreVideos/batches"] <= 5
    assert counters["ScoreVideos/models-loaded"] == 1


def test_a_batch_never_exceeds_the_batch_size(tmp_path, colour_spec):
    scene_video(tmp_path / "long.mp4", ("red", 5), ("grey", 3))
    scene_video(tmp_path / "short.mp4", ("red", 0.7))
    rows = [{"action": "red", "path": str(tmp_path / "*.mp4")}]
    more = ["--frame_stride=1", "--batch_size=10", "--cut=none"]
    counters, distributions = run_measured(tmp_path, rows, colour_spec, *more)
    assert counters["ScoreVideos/samples"] == 87
    assert distributions["ScoreVideos/batch-frames"].max <= 10


class FailsOnGreen(torch.nn.Module):
    """Knows red from the rest; of green pictures it says that they are not a number."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        mean = pixels[:, :, pixels.shape[2] // 2 :, :].mean(dim=(2, 3))
        green = (mean[:, 1] - mean[:, 0] > 0.3).float()[:, None]
        logits = torch.stack([8 * (mean[:, 0] - mean[:, 1]), 0 * mean[:, 0] + 1], dim=1)
        return logits + (torch.zeros_like(green) / (1 - green) - 0.0)


@pytest.fixture
def fails_on_green(tmp_path):
    torch.jit.script(FailsOnGreen()).save(str(tmp_path / "fails.pt"))
    spec = {"architecture": "torchscript", "weights": "fails.pt", "labels": ["red", "rest"], "resize": "squash"}
    spec |= {"input_width": 32, "input_height": 32, "mean": [0, 0, 0], "std": [1, 1, 1]}
    (tmp_path / "fails.json").write_text(json.dumps(spec))
    return tmp_path / "fails.json"


def test_a_video_that_the_classifier_cannot_score_fails_alone(tmp_path, fails_on_green):
    assert "green" in COLOURS
    scene_video(tmp_path / "a.mp4", ("grey", 1), ("red", 1))
    scene_video(tmp_path / "b.mp4", ("grey", 1), ("green", 0.1), ("red", 0.9))
    scene_video(tmp_path / "c.mp4", ("red", 1), ("grey", 1))
    rows = [{"action": "red", "path": str(tmp_path / "?.mp4")}]
    more = ["--frame_stride=1", "--batch_size=64", "--clip_seconds=1", "--top_k=1", "--trust_checkpoint"]
    counters, distributions = run_measured(tmp_path, rows, fails_on_green, *more)
    output = tmp_path / "output"
    assert {name: row["outcome"] for name, row in by_source(output).items()} == {
        "a.mp4": "result",
        "b.mp4": "failed",
        "c.mp4": "result",
    }
    (failure,) = read_jsonl(output / "failures.jsonl")
    assert (failure["code"], failure["stage"]) == ("scoring_failed", "ScoreVideos")
    assert "not finite" in failure["message"]
    assert summary_of(output)["adds_up"]
    assert counters["ScoreVideos/out-tracks"] == 2
    assert distributions["ScoreVideos/batch-frames"].max > 20  # they did share a batch
    spans = by_source(output, "spans")
    assert 1 <= spans["a.mp4"]["peak_seconds"] < 2
    assert spans["c.mp4"]["peak_seconds"] < 1


def test_a_video_that_failed_for_good_is_not_waited_for_again(tmp_path, colour_spec):
    path = scene_video(tmp_path / "bad.mp4", ("grey", 30), ("red", 10))
    rule = rule_of(colour_spec)
    with Killer({"bad.mp4": 2}):
        _, (first,), _ = score(tmp_path, rule, [path])

    found, (again,), counters = score(tmp_path, rule, [path])
    assert found["bad"] is None
    assert again == first
    assert counters["ScoreVideos/reused-failures"] == 1
    assert "ScoreVideos/in-segments" not in counters


@pytest.mark.parametrize("why", ["its code", "another limit", "another content"])
def test_a_failure_is_tried_again_for_a_reason(tmp_path, colour_spec, why):
    path = scene_video(tmp_path / "bad.mp4", ("grey", 30), ("red", 10))
    rule = rule_of(colour_spec)
    with Killer({"bad.mp4": 2}):
        score(tmp_path, rule, [path])
    if why == "its code":
        rule = replace(rule, retry_codes=("decode_crashed",))
    elif why == "another limit":
        rule = replace(rule, memory_bytes=rule.memory_bytes * 2)
    else:
        path = scene_video(tmp_path / "bad.mp4", ("grey", 30), ("red", 12))
    found, failures, _ = score(tmp_path, rule, [path])
    assert failures == []
    assert len(found["bad"].times) == (420 if why == "another content" else 400)
    # what holds no longer is forgotten; of the content that is gone it still holds
    assert len(list(tmp_path.rglob("*.failure.json"))) == int(why == "another content")


def test_a_file_that_was_gone_for_a_moment_is_no_decided_failure(tmp_path, colour_spec):
    path = scene_video(tmp_path / "shy.mp4", ("grey", 2), ("red", 2))
    rule, elsewhere = rule_of(colour_spec), tmp_path / "elsewhere"
    video = video_of(path)
    os.rename(path, elsewhere)
    _, (failure,), _ = score(tmp_path, rule, [path], videos=[video])
    assert failure["code"] == "not_found"
    os.rename(elsewhere, path)
    found, failures, _ = score(tmp_path, rule, [path])
    assert failures == []
    assert len(found["shy"].times) == 40


@pytest.mark.parametrize("flow", [STREAMS, SHUFFLES], ids=["streams", "shuffles"])
def test_a_bundle_that_runs_again_finds_the_track_that_it_joined(tmp_path, colour_spec, flow):
    path = scene_video(tmp_path / "long.mp4", ("grey", 9), ("red", 9), gop=10)
    video = replace(video_of(path), duration_seconds=18.0)
    rule = replace(rule_of(colour_spec), segment_seconds=5)
    found, failures, _ = score(tmp_path, rule, [path], videos=[video], flow=flow, bundle_repeat=1)
    assert failures == []
    assert len(found["long"].times) == 180


@pytest.mark.parametrize("fault", ["without outputs", "damaged outputs"])
def test_a_segment_that_fits_no_track_is_scored_again(tmp_path, colour_spec, monkeypatch, fault):
    path = scene_video(tmp_path / "long.mp4", ("grey", 9), ("red", 9), gop=10)
    video = replace(video_of(path), duration_seconds=18.0)
    rule = replace(rule_of(colour_spec), segment_seconds=5)
    keeps = fault == "damaged outputs"
    with monkeypatch.context() as killed:
        killed.setattr(Assemble, "_join_files", _killed)
        score(tmp_path, replace(rule, keep_outputs=keeps), [path], videos=[video])
    segments = sorted((tmp_path / "scores").rglob("*-*.parquet"))
    assert len(segments) == 4
    if keeps:
        stored = tracks.read(str(segments[0]))
        column = next(
            stored.source.metadata.row_group(0).column(place)
            for place in range(stored.source.metadata.num_columns)
            if stored.source.metadata.row_group(0).column(place).path_in_schema.startswith("outputs")
        )
        content = bytearray(segments[0].read_bytes())
        end = column.data_page_offset + column.total_compressed_size
        content[end - 8 : end] = b"\xff" * 8
        segments[0].write_bytes(content)
    for segment in segments[1 if keeps else 2 :]:
        segment.unlink()
    found, failures, counters = score(tmp_path, rule, [path], videos=[video])
    assert failures == []
    assert counters["ScoreVideos/in-segments"] == 4
    assert len(found["long"].times) == 180
    assert tracks.read(str(next((tmp_path / "scores").rglob("*.parquet")))).has_outputs


def _killed(*_):
    raise filesystem.StorageError("killed here")


@pytest.mark.parametrize("flow", [STREAMS, SHUFFLES], ids=["streams", "shuffles"])
def test_a_content_is_read_from_any_of_its_files(tmp_path, colour_spec, flow):
    scene_video(tmp_path / "a.mp4", ("grey", 1), ("red", 1))
    (tmp_path / "b.mp4").write_bytes((tmp_path / "a.mp4").read_bytes())
    videos = [video_of(tmp_path / name) for name in ("a.mp4", "b.mp4")]
    (tmp_path / "a.mp4").unlink()
    found, failures, counters = score(tmp_path / "out", rule_of(colour_spec), [], videos, flow)
    if flow.streams:  # a video comes alone, and its own file is gone
        assert [failure["code"] for failure in failures] == ["not_found"]
    else:
        assert failures == []
        assert counters["ScoreVideos/out-tracks"] == 2
    assert len(found["b"].times) == 20


@pytest.mark.parametrize("decoders", [2, 3, 8])
def test_several_decoders_give_what_one_gives_in_the_same_order(tmp_path, colour_spec, decoders):
    """Also where one of them dies, a file is none, and a content is stored already."""
    paths = [scene_video(tmp_path / f"{n}.mp4", ("grey", 1 + n), ("red", 2), ("blue", 9 - n)) for n in range(6)]
    (tmp_path / "no.mp4").write_text("no video")
    videos = [video_of(path) for path in [*paths[:3], str(tmp_path / "no.mp4"), *paths[3:], paths[0]]]
    videos.insert(2, Flush())
    rule = replace(rule_of(colour_spec), segment_seconds=5)
    found = {}
    for count in (1, decoders):
        with Killer({"4.mp4": 1}) as killer:
            scored = alone(
                ScoreVideos(str(tmp_path / f"out{count}"), replace(rule, decoders=count), STREAMS, {}), videos
            )
        assert len(killer.killed) == 1 or count > 1  # ahead of the classifier it may have been done by then
        tracks_of = [(one.video.key, one.reused, one.track.times.tolist()) for one in scored["tracks"]]
        found[count] = tracks_of, [(failure.key, failure.code) for failure in scored["failures"]]
    assert found[1] == found[decoders]
    assert [key for key, *_ in found[1][0]] == ["0", "1", "2", "3", "4", "5", "0"]


def test_several_decoders_work_at_once(tmp_path, colour_spec, monkeypatch):
    videos = [video_of(scene_video(tmp_path / f"{n}.mp4", ("red", 3 + n), ("blue", 3))) for n in range(5)]
    unread = []
    real = Child.call

    def call(self, task, request, *limits):
        children = [child for child in list(sent) if child._sent is not None]
        unread.append(len({id(child) for child in children}))
        return real(self, task, request, *limits)

    sent = []
    real_ahead = Child.send_ahead

    def ahead(self, task, request):
        real_ahead(self, task, request)
        sent.append(self)

    monkeypatch.setattr(Child, "call", call)
    monkeypatch.setattr(Child, "send_ahead", ahead)
    rule = replace(rule_of(colour_spec), decoders=3)
    assert len(alone(ScoreVideos(str(tmp_path / "out"), rule, STREAMS, {}), videos)["tracks"]) == 5
    assert max(unread) == 3  # the one that is read next, and two that work ahead
