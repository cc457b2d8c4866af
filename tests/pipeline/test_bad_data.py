"""Bad rows and bad files in one job: each ends as a failure or a flagged result, the rest goes on."""

import av
import numpy as np
import pytest

from tests.conftest import read_jsonl
from tests.jobs import by_source, run_measured, scene_video, summary_of


def audio_only(path):
    with av.open(str(path), "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=48_000, layout="mono")
        tone = np.sin(np.arange(48_000) / 20)[None].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate = 48_000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def make_bad_files(folder):
    """Makes a file of each kind; returns (name, outcome, code) of each."""
    scene_video(folder / "good.mp4", ("grey", 3), ("red", 2), ("grey", 5))
    scene_video(folder / "unseen.mp4", ("grey", 3))
    whole = (folder / "good.mp4").read_bytes()
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "page.mp4").write_text("<!DOCTYPE html><html><body>Video unavailable</body></html>")
    (folder / "playlist.mp4").write_text(f"#EXTM3U\n#EXTINF:3,\n{folder / 'good.mp4'}\n#EXT-X-ENDLIST\n")
    (folder / "random.mp4").write_bytes(np.random.default_rng(0).bytes(20_000))
    (folder / "no_index.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    audio_only(folder / "sound.mp4")
    scene_video(folder / "cut_off.mkv", ("grey", 3), ("red", 2), ("grey", 5), container="matroska")
    cut_off = (folder / "cut_off.mkv").read_bytes()
    (folder / "cut_off.mkv").write_bytes(cut_off[: len(cut_off) * 2 // 3])
    damaged = bytearray(whole)
    data = whole.index(b"mdat") + 4
    damaged[data + len(whole) // 3 : data + len(whole) // 2] = b"\xff" * (
        data + len(whole) // 2 - data - len(whole) // 3
    )
    (folder / "damaged.mp4").write_bytes(damaged)
    return {
        "good.mp4": ("result", ""),
        "unseen.mp4": ("rejected", "no_span"),
        "empty.mp4": ("failed", "unreadable_video"),
        "page.mp4": ("failed", "unreadable_video"),
        "playlist.mp4": ("failed", "unreadable_video"),
        "random.mp4": ("failed", "unreadable_video"),
        "no_index.mp4": ("failed", "unreadable_video"),
        "sound.mp4": ("failed", "no_video"),
        "cut_off.mkv": ("result", ""),
        "damaged.mp4": ("result", ""),
    }


@pytest.fixture(scope="module")
def job(tmp_path_factory, colour_spec):
    """One job over good and bad; returns folder, output, what each file should become, and the counters."""
    folder = tmp_path_factory.mktemp("bad data")
    expected = make_bad_files(folder)
    good = f'"path": "{folder}/good.mp4"'
    lines = [
        f'{{"action": "red", "path": "{folder}/*.m[pk][4v]"}}',
        "{not json",
        "[1, 2]",
        f"{{{good}}}",
        f'{{"action": "red", "query": "red things", {good}}}',
        '{"action": "red"}',
        f'{{"action": "red", {good}, "max_videos": "many"}}',
        f'{{"action": "purple", {good}}}',
        f'{{"action": " ", {good}}}',
        f'{{"action": "red", "path": "{folder}/nothing-*.mp4"}}',
        '{"action": "red", "url": "ftp://example.org/a.mp4"}',
        f'{{"label": "blue", {good}}}',
        f'{{"action": "red", {good}, "note": "again"}}',
    ]
    data = "\n".join(lines).encode() + b'\n{"action": "r\xffd"}\n'
    (folder / "queries.jsonl").write_bytes(data)
    counters, _ = run_measured(folder, None, colour_spec, "--min_score=0.5", "--clip_seconds=2")
    return folder, folder / "output", expected, counters


def test_every_request_has_exactly_one_outcome(job):
    _, output, expected, _ = job
    rows = by_source(output)
    assert len(read_jsonl(output / "videos.jsonl")) == len(rows) == len(expected)
    assert {name: (row["outcome"], row["code"]) for name, row in rows.items()} == expected


def test_every_bad_row_is_a_failure_that_names_its_line(job):
    folder, output, _, _ = job
    failed = {row["row"]: row for row in read_jsonl(output / "failures.jsonl") if row["row"]}
    codes = {int(place.rpartition(":")[2]): row["code"] for place, row in failed.items()}
    expected = dict.fromkeys((2, 3, 4, 5, 6, 7, 9, 11), "bad_row")
    expected |= {8: "unknown_label", 10: "no_match", 14: "bad_encoding"}
    assert codes == expected
    assert {place.rpartition(":")[0] for place in failed} == {str(folder / "queries.jsonl")}
    assert all("\n" not in row["message"] and row["message"] for row in failed.values())


def test_failed_files_have_one_failure_each_that_names_them(job):
    _, output, expected, _ = job
    failures = [row for row in read_jsonl(output / "failures.jsonl") if row["key"]]
    failed = {name: code for name, (outcome, code) in expected.items() if outcome == "failed"}
    assert len(failures) == len(failed)
    for row in failures:
        (name,) = (name for name in failed if f"/{name}" in row["message"])
        assert (row["code"], row["stage"], row["permanent"]) == (failed[name], "DownloadVideos", True)


def test_damaged_files_are_results_with_a_flag(job):
    _, output, _, _ = job
    rows = by_source(output)
    assert "truncated" in rows["cut_off.mkv"]["flags"]
    assert rows["cut_off.mkv"]["decoded_seconds"] < 9
    assert rows["damaged.mp4"]["flags"]
    assert rows["good.mp4"]["flags"] == rows["unseen.mp4"]["flags"] == []


def test_the_numbers_add_up(job):
    _, output, expected, _ = job
    summary = summary_of(output)
    assert summary["adds_up"]
    assert summary["funnel"]["rows"] == {"read": 14, "failed": 11, "matched": 3}
    # good.mp4 was asked for by three rows
    assert summary["funnel"]["candidates"] == {"found": len(expected) + 2, "merged": 2}
    requests = {verb: number for verb, number in summary["funnel"]["requests"].items() if number}
    assert requests == {"unique": len(expected), "failed": 6, "in_place": 4}
    assert summary["failures"]["FindVideos"] == {"no_match": 1}
    spans = read_jsonl(output / "spans.jsonl")
    assert summary["funnel"]["spans"]["proposed"] == len(spans) == len(read_clips(output))
    assert sum(sum(codes.values()) for codes in summary["failures"].values()) == 17


def read_clips(output):
    return list((output / "clips").rglob("*.mp4"))


def test_a_video_that_several_rows_ask_for_is_scored_once(job):
    _, output, expected, counters = job
    rows = by_source(output)
    assert counters["ScoreVideos/in-segments"] == sum(outcome != "failed" for outcome, _ in expected.values())
    assert counters["ScoreVideos/samples"] == sum(row["samples"] for row in rows.values())
    asks = [(ask["action"], int(ask["row"].rpartition(":")[2])) for ask in rows["good.mp4"]["asks"]]
    assert asks == [("blue", 12), ("red", 1), ("red", 13)]
    assert [row["action"] for row in read_jsonl(output / "spans.jsonl") if row["source"].endswith("good.mp4")] == [
        "red"
    ]
    assert len(list((output / "scores").rglob("*.parquet"))) == 4
