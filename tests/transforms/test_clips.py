"""Cutting through the job: a cutter that dies costs the span that kills it, and nobody else."""

import dataclasses
import threading
from pathlib import Path

import av
import pytest

from clipscout.transforms import clip_cutter
from clipscout.transforms.clip_cutter import ClipCutter, CutSettings
from clipscout.transforms.core.child.supervisor import Child
from clipscout.transforms.core.storage import video_store
from clipscout.transforms.records import Ask, CandidateSpan, Clip, Video, VideoRequest, VideoSpans
from tests.conftest import read_jsonl
from tests.jobs import run_rows, scene_video, summary_of
from tests.media_maker import read_video


def test_a_cutter_that_dies_costs_its_span_alone(tmp_path, colour_spec, monkeypatch):
    video = scene_video(tmp_path / "a.mp4", ("red", 2), ("grey", 3), ("red", 2), ("grey", 3), ("red", 2))
    real = Child.call
    deaths = []

    def call(self, task, request, *limits):
        if task == "clips.cutting:cut" and any(4 < span["peak_seconds"] < 8 for span in request["spans"]):
            deaths.append(len(request["spans"]))
            task = "clips.nothing:dies"  # a kill from here may come when all is cut
        return real(self, task, request, *limits)

    monkeypatch.setattr(Child, "call", call)
    options = ("--clip_seconds=2", "--top_k=3", "--min_score=0.5")
    status, output = run_rows(tmp_path, [{"action": "red", "path": video}], colour_spec, *options)
    assert status == 0
    assert deaths == [3, 1, 1]  # all at once, then alone, and once more without its sound
    (failure,) = read_jsonl(output / "failures.jsonl")
    assert (failure["code"], failure["stage"], failure["action"]) == ("cut_crashed", "CutClips", "red")
    summary = summary_of(output)
    assert summary["funnel"]["spans"] == {"proposed": 3, "dropped": 0, "failed": 1, "not_cut": 0}
    assert summary["funnel"]["clips"]["written"] == 2
    assert summary["adds_up"]


def test_a_sound_that_kills_the_cutter_costs_the_sound_alone(tmp_path, colour_spec, monkeypatch):
    video = scene_video(tmp_path / "a.mp4", ("red", 2), ("grey", 3), ("red", 2), audio=True)
    real = Child.call
    calls = []

    def call(self, task, request, *limits):
        kills = task == "clips.cutting:cut" and any(span["peak_seconds"] > 4 for span in request["spans"])
        if kills and not request["sound_kills"]:
            calls.append(len(request["spans"]))
            task = "clips.nothing:dies"
        return real(self, task, request, *limits)

    monkeypatch.setattr(Child, "call", call)
    options = ("--clip_seconds=2", "--top_k=2", "--min_score=0.5")
    status, output = run_rows(tmp_path, [{"action": "red", "path": video}], colour_spec, *options)
    assert status == 0
    first, second = sorted(read_jsonl(output / "spans.jsonl"), key=lambda row: row["start_seconds"])
    assert (first["clip_has_audio"], first["clip_flags"]) == (True, [])
    assert (second["clip_has_audio"], second["clip_flags"]) == (False, ["audio_dropped"])
    assert second["clip_audio_missing_seconds"] == pytest.approx(2.0, abs=0.05)
    assert calls == [2, 1]


def test_what_decoding_finds_out_reaches_the_cutter_and_the_manifest(tmp_path, colour_spec):
    """Of two joined recordings the clock jumps; of a damaged one seconds are lost."""
    parts = [
        scene_video(tmp_path / "first.ts", ("grey", 4), audio=True),
        scene_video(tmp_path / "second.ts", ("grey", 2), ("red", 2), audio=True),
    ]
    (tmp_path / "joined.ts").write_bytes(b"".join(Path(part).read_bytes() for part in parts))
    damaged = Path(scene_video(tmp_path / "damaged.mp4", ("red", 3), gop=10, bframes=0))
    with av.open(str(damaged)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][15]
        place, size = packet.pos, packet.size
    content = bytearray(damaged.read_bytes())
    content[place : place + size] = b"\xff" * size
    damaged.write_bytes(content)
    rows = [{"action": "red", "path": str(tmp_path / name)} for name in ("joined.ts", "damaged.mp4")]
    status, output = run_rows(tmp_path, rows, colour_spec, "--clip_seconds=2", "--top_k=1", "--min_score=0.5")
    assert status == 0
    videos = {Path(row["source"]).name: row for row in read_jsonl(output / "videos.jsonl")}
    assert videos["joined.ts"]["flags"] == ["time_jumps"]
    assert videos["damaged.mp4"]["flags"] == ["damaged"]
    assert (videos["joined.ts"]["lost_seconds"], videos["damaged.mp4"]["lost_seconds"]) == (0.0, 0.1)
    clips = {Path(row["source"]).name: row for row in read_jsonl(output / "spans.jsonl")}
    joined = clips["joined.ts"]
    assert (joined["clip_start_seconds"], joined["clip_end_seconds"]) == pytest.approx((5, 7), abs=0.15)
    assert (joined["clip_has_audio"], joined["clip_flags"]) == (True, [])
    means = [picture.mean((0, 1)) for _, picture in read_video(output / joined["clip"])]
    assert [bool(red - green > 60) for red, green, _ in means] == [False] * 10 + [True] * 10


@pytest.mark.parametrize(
    ("options", "expected"),
    [((), ("h264", True)), (("--clip_sound=false",), ("h264", False)), (("--clip_hdr=keep",), ("hevc", True))],
)
def test_sound_and_range_of_clips_are_those_that_are_asked_for(tmp_path, colour_spec, options, expected):
    def hdr(_, stream):
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = 9, 9, 16

    video = scene_video(tmp_path / "a.mp4", ("red", 2), audio=True, pixel_format="yuv420p10le", configure=hdr)
    rows = [{"action": "red", "path": video}]
    status, output = run_rows(tmp_path, rows, colour_spec, "--clip_seconds=2", "--top_k=1", "--min_score=0", *options)
    assert status == 0
    (span,) = read_jsonl(output / "spans.jsonl")
    with av.open(str(output / span["clip"])) as container:
        found = container.streams.video[0].codec_context.name, bool(container.streams.audio)
    assert found == expected
    assert (span["clip_has_audio"], span["clip_flags"]) == (expected[1], [])


def test_clips_are_made_anew_where_they_were_made_otherwise(tmp_path, colour_spec):
    video = scene_video(tmp_path / "a.mp4", ("grey", 2), ("red", 2), ("grey", 2), gop=10)
    rows = [{"action": "red", "path": video}]
    options = ("--clip_seconds=2", "--top_k=1", "--min_score=0.5", "--replace")

    def made(*more):
        status, output = run_rows(tmp_path, rows, colour_spec, *options, *more)
        assert status == 0
        (span,) = read_jsonl(output / "spans.jsonl")
        return span

    whole = made()
    small = made("--clip_height=54")
    copied = made("--cut=copy", "--posters=false")
    assert whole["clip"] == small["clip"] == copied["clip"]
    assert [row["clip_height"] for row in (whole, small, copied)] == [108, 54, 108]
    assert [bool(row["poster"]) for row in (whole, small, copied)] == [True, True, False]
    assert copied["clip_start_seconds"] <= whole["clip_start_seconds"] == whole["start_seconds"]
    assert copied["clip_end_seconds"] >= whole["clip_end_seconds"]
    assert len({row["clip_sha256"] for row in (whole, small, copied)}) == 3
    # the picture of an earlier run, which no manifest names any more, is gone
    assert {path.suffix for path in (tmp_path / "output/clips").rglob("*") if path.is_file()} == {".mp4", ".json"}


@pytest.mark.parametrize(
    ("size", "height", "megabytes", "told"),
    [
        (
            (8192, 8192),
            None,
            2048,
            "pictures of 8192x8192 take about 8500 MB to encode, and --decode_memory_mb allows 2048",
        ),
        ((8192, 8192), 1080, 2048, ""),
        ((3840, 2160), None, 2048, ""),
        ((4096, 4096), None, 2048, "take about 2300 MB"),
    ],
)
def test_pictures_that_are_too_large_to_encode_are_told_before_it_is_tried(tmp_path, size, height, megabytes, told):
    span = CandidateSpan("file-a", "red", 0.0, 1.0, 0.5, 0, 1.0, 1, "red", 1.0)
    request = VideoRequest("file-a", (Ask("red", ("red",), "q:1"),), path=str(tmp_path / "none.mp4"))
    video = Video("file-a", request.path, request, 1, "sha256:0", 1.0, *size, 25.0)
    cutter = ClipCutter(str(tmp_path), CutSettings("exact", height, True, True, False, 10, megabytes << 20))
    (failure,) = cutter.work(VideoSpans(video, (span,), 1.0, 2), threading.Event()).failures
    cutter.close()
    assert (failure.code == "cut_memory") == bool(told)
    assert told in failure.message


def test_what_is_kept_of_clips_and_videos_is_all_that_is_known_of_them():
    names = {kind: {field.name for field in dataclasses.fields(kind)} for kind in (Clip, Video)}
    assert {*clip_cutter._RECORDED} == names[Clip] - {"span", "reused", "scored", "left_out_by", "not_compared"}
    assert {*video_store._RECORDED} == names[Video] - {"key", "request", "reused", "modified_ns"}
