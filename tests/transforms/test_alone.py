"""Each transform on its own: typed settings, elements in, a list out, in both shapes of the graph."""

import json
from dataclasses import replace

import pytest

from clipscout.pipeline.run import configure
from clipscout.transforms.better_videos import FetchBetterVideos
from clipscout.transforms.cleaning import CleanClips
from clipscout.transforms.clips import CutClips
from clipscout.transforms.core.results import funnel
from clipscout.transforms.core.spans.selecting import SelectionSettings
from clipscout.transforms.core.storage import stale
from clipscout.transforms.discovery import FindVideos
from clipscout.transforms.download import DownloadVideos
from clipscout.transforms.failures import Failure
from clipscout.transforms.flow import Flow, Gates
from clipscout.transforms.outputs import WriteManifests, WriteSummary
from clipscout.transforms.queries import MatchLabels, ReadExcludes, ReadQueries
from clipscout.transforms.records import ActionQuery, Ask, VideoRequest
from clipscout.transforms.scoring import ScoreVideos
from clipscout.transforms.selection import SelectSpans
from clipscout.transforms.spans import ProposeSpans
from tests.conftest import read_jsonl
from tests.jobs import scene_video
from tests.transforms.alone import alone

FLOWS = pytest.mark.parametrize("flow", [Flow(streams=True), Flow(streams=False)], ids=["streams", "shuffles"])


@pytest.fixture
def config(tmp_path, colour_spec):
    """The settings of all stages."""
    given = ["--input=unused.csv", f"--output={tmp_path / 'out'}", f"--classifier={colour_spec}"]
    return configure([*given, "--clip_seconds=1", "--top_k=1", "--min_score=0.5", "--shots=ignore"])[0]


def request_of(path, key="file-a"):
    return VideoRequest(key, (Ask("red", ("red",), "q.csv:2"),), path=str(path))


def fetched(config, *requests):
    flow = Flow(streams=True)
    return alone(DownloadVideos(config.output, config.fetch, flow, Gates(flow)), [*requests])["videos"]


def proposed(config, *requests):
    scored = alone(ScoreVideos(config.output, config.scoring, Flow(streams=True), {}), fetched(config, *requests))
    return alone(ProposeSpans(config.spans), scored["tracks"])["out"]


def test_queries_are_read_in_one_spelling_and_bad_rows_are_failures(tmp_path):
    (tmp_path / "q.csv").write_text("action,path\nRiding a bike,a.mp4\nriding_a_bike,b.mp4\n,c.mp4\n")
    found = alone(ReadQueries((str(tmp_path / "q.csv"),)))
    assert sorted((query.action, query.path) for query in found["queries"]) == [
        ("Riding a bike", "a.mp4"),
        ("Riding a bike", "b.mp4"),
    ]
    assert [failure.code for failure in found["failures"]] == ["bad_row"]


def test_labels_are_matched_or_the_closest_are_named():
    queries = [ActionQuery("Red", "q.csv:2", path="a.mp4"), ActionQuery("rode", "q.csv:3", path="a.mp4")]
    found = alone(MatchLabels(("red", "green")), queries)
    assert [query.classes for query in found["queries"]] == [("red",)]
    assert [(failure.code, failure.row) for failure in found["failures"]] == [("unknown_label", "q.csv:3")]


def test_ids_are_excluded(tmp_path):
    (tmp_path / "ids.txt").write_text("-8Appls4ZFg\n")
    found = alone(ReadExcludes((str(tmp_path / "ids.txt"),)))["out"]
    assert [key for key, _ in found] == ["-8Appls4ZFg"]


@FLOWS
def test_candidates_of_one_video_are_merged(config, tmp_path, flow):
    path = str(scene_video(tmp_path / "a.mp4", ("red", 1)))
    rows = [
        ActionQuery("red", "q.csv:2", path=path, classes=("red",)),
        ActionQuery("blue", "q.csv:3", path=str(tmp_path / "*.mp4"), classes=("blue",)),
        ActionQuery("green", "q.csv:4", path=str(tmp_path / "none.mp4"), classes=("green",)),
    ]
    found = alone(FindVideos(config.output, config.search, flow), rows, [])
    (request,) = found["requests"]
    assert request.actions() == {"blue": ("blue",), "red": ("red",)}
    assert [(failure.code, failure.row) for failure in found["failures"]] == [("no_match", "q.csv:4")]


@FLOWS
def test_files_are_probed_in_place(config, tmp_path, flow):
    path = scene_video(tmp_path / "a.mp4", ("red", 1))
    (tmp_path / "b.mp4").write_bytes(b"no video")
    requests = [request_of(path), request_of(tmp_path / "b.mp4", "file-b")]
    found = alone(DownloadVideos(config.output, config.fetch, flow, Gates(flow)), requests)
    assert [(video.key, video.uri, video.width, video.in_place) for video in found["videos"]] == [
        ("file-a", str(path), 192, True)
    ]
    assert [(failure.code, failure.key) for failure in found["failures"]] == [("unreadable_video", "file-b")]


@FLOWS
def test_videos_are_scored_and_stored(config, tmp_path, flow):
    videos = fetched(config, request_of(scene_video(tmp_path / "a.mp4", ("grey", 2), ("red", 1))))
    score = ScoreVideos(config.output, config.scoring, flow, {})
    (first,) = alone(score, videos)["tracks"]
    assert first.track.times.tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert (first.track.responses[:, 0] > 0.5).tolist() == [False] * 4 + [True] * 2
    (again,) = alone(score, videos)["tracks"]
    assert (first.reused, again.reused) == (False, True)


def test_spans_are_proposed_around_the_strongest_responses(config, tmp_path):
    (proposal,) = proposed(config, request_of(scene_video(tmp_path / "a.mp4", ("grey", 2), ("red", 2), ("grey", 2))))
    (span,) = proposal.spans
    assert (span.action, span.start_seconds, span.end_seconds) == ("red", 1.5, 2.5)


@FLOWS
def test_the_best_spans_of_an_action_are_selected(config, tmp_path, flow):
    for name in "ab":
        scene_video(tmp_path / f"{name}.mp4", ("grey", 1), ("red", 2))
    proposals = proposed(config, *(request_of(tmp_path / f"{name}.mp4", f"file-{name}") for name in "ab"))
    proposals = [replace(one, spans=tuple(replace(span, score=1.0) for span in one.spans)) for one in proposals]
    found = alone(SelectSpans(SelectionSettings(clips_per_action=1), flow), proposals)["out"]
    assert sorted((one.key, len(one.spans), dict(one.dropped)) for one in found) == [
        ("file-a", 1, {}),
        ("file-b", 0, {"clips_per_action": 1}),
    ]


@FLOWS
def test_without_a_wanted_height_no_better_video_is_fetched(config, tmp_path, flow):
    proposals = proposed(config, request_of(scene_video(tmp_path / "a.mp4", ("red", 2))))
    found = alone(FetchBetterVideos(config.output, config.fetch, flow, Gates(flow)), proposals)
    assert found["spans"] == proposals


@pytest.mark.parametrize("lanes", [1, 3])
def test_spans_are_cut_once(config, tmp_path, lanes):
    for name in "abcd":
        scene_video(tmp_path / f"{name}.mp4", ("grey", 1), ("red", 2))
    requests = [request_of(tmp_path / f"{name}.mp4", f"file-{name}") for name in "abcd"]
    proposals = proposed(config, *requests)
    cut = CutClips(config.output, replace(config.cut, lanes=lanes))
    first, again = (sorted(alone(cut, proposals)["clips"], key=lambda clip: clip.path) for _ in range(2))
    assert [(clip.span.key, clip.frames, clip.reused) for clip in first] == [(one.key, 10, False) for one in requests]
    assert again == [replace(clip, reused=True) for clip in first]
    assert len({clip.sha256 for clip in first}) == 1  # of one picture: whoever cut it


def test_manifests_and_summary_are_written_last(config, tmp_path):
    requests = [request_of(scene_video(tmp_path / "a.mp4", ("red", 2)))]
    (video,) = fetched(config, *requests)
    proposals = proposed(config, *requests)
    clips = alone(CutClips(config.output, config.cut), proposals)["clips"]
    failure = Failure("ReadQueries", "bad_row", "no action", row="q.csv:9")
    records = [*requests, video, *proposals, *clips, failure]
    written = alone(WriteManifests(config.output, 1, config.identity()), records)
    assert {"spans.jsonl", "spans.parquet", "videos.jsonl", "failures.jsonl", "spans.csv"} <= {*written["paths"]}
    assert written["leftovers"] == []
    (row,) = read_jsonl(tmp_path / "out/spans.jsonl")
    assert row["clip"] == clips[0].path

    tallies = [pair for record in records for pair in funnel.tallies(record)]
    write = WriteSummary(config.output, {}, remove_stale=False)
    (summary,) = alone(write, tallies, written["paths"], [])["out"]
    assert summary["funnel"]["clips"]["written"] == 1
    assert json.loads((tmp_path / "out/summary.json").read_text()) == summary


def test_clips_that_no_manifest_names_are_counted_or_removed(config, tmp_path):
    requests = [request_of(scene_video(tmp_path / "a.mp4", ("red", 2)))]
    proposals = proposed(config, *requests)
    (clip,) = alone(CutClips(config.output, config.cut), proposals)["clips"]
    (video,) = fetched(config, *requests)
    earlier = list(stale.earlier_clips(config.output))
    leftovers = list(stale.leftovers([*requests, video, replace(proposals[0], spans=()), *earlier]))
    assert len(leftovers) == 1
    for remove in (False, True):
        told = alone(CleanClips(config.output, remove), leftovers, [("rows.failed", 0)], ["spans.jsonl"])["out"]
        assert (tmp_path / "out" / clip.path).is_file() is not remove
        assert ("removed" in dict(told)) is remove
