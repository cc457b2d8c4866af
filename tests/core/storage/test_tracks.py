"""Score tracks on storage: what is read is what was written, or nothing."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipscout.transforms.core.storage import filesystem, tracks
from clipscout.transforms.records import Scores

WANTED = (("blue", "navy"), ("red",))
FACTS = {
    "decoded_seconds": 33.3,
    "frames_decoded": 100,
    "flags": ["damaged"],
    "shot_boundaries": [1.5],
    "reached_end": True,
    "lost_seconds": 0.5,
    "engine": "torch 2",
}
PLACE = ("f00d", "ab" * 16)


def scores_of(count=50, wanted=WANTED):
    rng = np.random.default_rng(0)
    return Scores(
        times=np.cumsum(rng.random(count) + 1e-3),
        frame_indices=np.arange(count) * 2,
        wanted=wanted,
        responses=rng.random((count, len(wanted)), np.float32),
        top_labels=tuple(rng.choice(["red", "bläu", "grey"], count)),
        top_scores=rng.random(count, np.float32),
    )


def outputs_of(count=50, size=20):
    logits = np.random.default_rng(1).normal(0, 6, (count, size)).astype(np.float32)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def stored(output, scores, outputs=None, parts=1):
    """Writes samples in parts and returns the path of their file."""
    uri = tracks.TrackFiles(str(output), *PLACE).track()
    writer = tracks.Writer("labels")
    for place in np.array_split(np.arange(len(scores.times)), parts):
        part = Scores(
            scores.times[place],
            scores.frame_indices[place],
            scores.wanted,
            scores.responses[place],
            tuple(scores.top_labels[one] for one in place),
            scores.top_scores[place],
        )
        writer.add(part, None if outputs is None else outputs[place])
    filesystem.write_bytes(uri, writer.finish(FACTS))
    return output / "scores" / PLACE[0] / f"{PLACE[1]}.parquet"


def read(output):
    return tracks.read(tracks.TrackFiles(str(output), *PLACE).track())


@pytest.mark.parametrize(("count", "parts"), [(1, 1), (50, 7), (5000, 40)])
def test_what_is_read_is_what_was_written(tmp_path, count, parts):
    scores, outputs = scores_of(count), outputs_of(count)
    file = stored(tmp_path, scores, outputs, parts)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
    found = read(tmp_path)
    for name in ("times", "frame_indices", "responses", "top_scores"):
        assert np.array_equal(getattr(found.scores, name), getattr(scores, name)), name
        assert getattr(found.scores, name).dtype == getattr(scores, name).dtype, name
    assert (found.scores.wanted, found.scores.top_labels) == (scores.wanted, scores.top_labels)
    assert (found.asked, found.report) == ("labels", FACTS)
    kept = np.concatenate(list(found.outputs()))
    np.testing.assert_allclose(kept, outputs, rtol=2**-17)
    assert np.array_equal(kept[outputs > 0.5], outputs[outputs > 0.5])  # where a sure classifier's scores differ least
    assert kept.dtype == np.float32


def test_outputs_are_left_out_where_they_are_not_kept(tmp_path):
    stored(tmp_path, scores_of())
    assert not read(tmp_path).has_outputs


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -3.7, 1e-30, 3.4028235e38, -3.4028235e38])
def test_no_output_is_rounded_to_another_kind_of_number(tmp_path, value):
    stored(tmp_path, scores_of(1), np.full((1, 3), value, np.float32))
    (kept,) = read(tmp_path).outputs()
    np.testing.assert_allclose(kept, value, rtol=2**-17)


def test_outputs_take_little(tmp_path):
    count, labels = 2000, 1000
    file = stored(tmp_path, scores_of(count), outputs_of(count, labels))
    assert file.stat().st_size < 0.75 * count * labels * 4


def test_columns_come_in_the_wanted_order_or_not_at_all():
    scores = scores_of()
    other = tracks.columns_of(scores, (("red",), ("blue", "navy")))
    assert other.wanted == (("red",), ("blue", "navy"))
    assert np.array_equal(other.responses, scores.responses[:, [1, 0]])
    assert tracks.columns_of(scores, ()).responses.shape == (50, 0)
    for wanted in ((("red", "rose"),), (("navy", "blue"),), (*WANTED, ("green",))):
        assert tracks.columns_of(scores, wanted) is None


def test_segments_and_the_whole_have_places_of_their_own():
    files = tracks.TrackFiles("out", *PLACE)
    named = {files.track(), files.failure(), files.segment(0, 600), files.segment(600, None), files.segment(0, None)}
    assert len(named) == 5
    assert all(name.startswith(f"out/scores/f00d/{PLACE[1]}") for name in named)


def test_a_new_track_replaces_the_old(tmp_path):
    stored(tmp_path, scores_of(10))
    stored(tmp_path, scores_of(20))
    assert len(read(tmp_path).scores.times) == 20


@pytest.mark.parametrize(
    "content",
    [b"", b"PAR1", b"<!DOCTYPE html><html></html>", b"PAR1" + bytes(200) + b"PAR1"],
    ids=["empty", "magic alone", "html", "zeros"],
)
def test_a_file_of_something_else_is_none(tmp_path, content):
    stored(tmp_path, scores_of()).write_bytes(content)
    assert read(tmp_path) is None


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_none(tmp_path, part):
    file = stored(tmp_path, scores_of(), outputs_of())
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * part)])
    assert read(tmp_path) is None


def test_damage_anywhere_never_crashes(tmp_path):
    file = stored(tmp_path, scores_of(), outputs_of())
    whole = file.read_bytes()
    outcomes = []
    for place in range(4, len(whole) - 16, 37):
        file.write_bytes(whole[:place] + b"\xff" * 16 + whole[place + 16 :])
        outcomes.append(_outcome(tmp_path))
    assert outcomes.count("damaged") > len(outcomes) / 2
    assert set(outcomes) <= {"damaged", "whole"}


def _outcome(output):
    found = read(output)
    if found is None:
        return "damaged"
    try:
        list(found.outputs())
    except ValueError:
        return "damaged"
    return "whole"


def test_a_foreign_parquet_file_is_none(tmp_path):
    file = stored(tmp_path, scores_of())
    pq.write_table(pa.table({"time_seconds": [1.0]}), file)
    assert read(tmp_path) is None


def test_fingerprint_depends_on_everything_and_on_no_order():
    one = tracks.fingerprint(classifier="a", sampling={"fps": 1.0, "frame_stride": None})
    assert one == tracks.fingerprint(sampling={"frame_stride": None, "fps": 1.0}, classifier="a")
    others = [
        tracks.fingerprint(classifier="b", sampling={"fps": 1.0, "frame_stride": None}),
        tracks.fingerprint(classifier="a", sampling={"fps": 2.0, "frame_stride": None}),
        tracks.fingerprint(classifier="a", sampling={"fps": 1.0, "frame_stride": None}, response="any"),
    ]
    assert len({one, *others}) == 4
