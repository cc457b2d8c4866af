"""Score tracks on storage: what is read is what was written, or nothing."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.core import tracks
from transforms.records import ScoreTrack

ACTIONS = {"blue": ("blue", "navy"), "red": ("red",)}
CONTENT = "sha256:ab"


def track_of(count=50, actions=ACTIONS):
    rng = np.random.default_rng(0)
    return ScoreTrack(
        key="youtube--8Appls4ZFg",
        actions=actions,
        times=np.cumsum(rng.random(count) + 1e-3),
        frame_indices=np.arange(count) * 2,
        responses=rng.random((count, len(actions)), np.float32),
        top_labels=tuple(rng.choice(["red", "bläu", "grey"], count)),
        top_scores=rng.random(count, np.float32),
        decoded_seconds=33.3,
        frames_decoded=2 * count,
        flags=("damaged", "truncated"),
    )


def stored(output, track):
    """Writes a track and returns the path of its file."""
    tracks.write(str(output), "f00d", track, CONTENT)
    return output / "scores" / "f00d" / f"{track.key}.parquet"


def read(output, wanted=ACTIONS, content=CONTENT, key="youtube--8Appls4ZFg", fingerprint="f00d"):
    return tracks.read(str(output), fingerprint, key, content, wanted)


@pytest.mark.parametrize("count", [1, 50, 5000])
def test_what_is_read_is_what_was_written(tmp_path, count):
    track = track_of(count)
    assert stored(tmp_path, track).is_file()
    found = read(tmp_path)
    for name in ("times", "frame_indices", "responses", "top_scores"):
        assert np.array_equal(getattr(found, name), getattr(track, name)), name
        assert getattr(found, name).dtype == getattr(track, name).dtype, name
    for name in ("key", "actions", "top_labels", "decoded_seconds", "frames_decoded", "flags"):
        assert getattr(found, name) == getattr(track, name), name


def test_nothing_else_is_written(tmp_path):
    file = stored(tmp_path, track_of())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


@pytest.mark.parametrize(
    ("wanted", "columns"),
    [({"red": ("red",)}, [1]), ({"red": ["red"], "blue": ["blue", "navy"]}, [1, 0]), ({}, [])],
    ids=["fewer", "other order", "none"],
)
def test_wanted_actions_come_in_the_wanted_order(tmp_path, wanted, columns):
    track = track_of()
    stored(tmp_path, track)
    found = read(tmp_path, wanted)
    assert list(found.actions) == list(wanted)
    assert np.array_equal(found.responses, track.responses[:, columns])


@pytest.mark.parametrize(
    "asked",
    [
        {"content": "sha256:cd"},
        {"wanted": {"red": ("red", "rose")}},
        {"wanted": {"blue": ("navy", "blue")}},
        {"wanted": {**ACTIONS, "green": ("green",)}},
        {"key": "youtube-other"},
        {"fingerprint": "beef"},
    ],
    ids=["content", "more labels", "label order", "new action", "key", "fingerprint"],
)
def test_a_track_that_does_not_fit_is_none(tmp_path, asked):
    stored(tmp_path, track_of())
    assert read(tmp_path) is not None
    assert read(tmp_path, **asked) is None


def test_a_new_track_replaces_the_old(tmp_path):
    stored(tmp_path, track_of(10))
    stored(tmp_path, track_of(20))
    assert len(read(tmp_path).times) == 20


@pytest.mark.parametrize(
    "content",
    [b"", b"PAR1", b"<!DOCTYPE html><html></html>", b"PAR1" + bytes(200) + b"PAR1"],
    ids=["empty", "magic alone", "html", "zeros"],
)
def test_a_file_of_something_else_is_none(tmp_path, content):
    stored(tmp_path, track_of()).write_bytes(content)
    assert read(tmp_path) is None


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_none(tmp_path, part):
    file = stored(tmp_path, track_of())
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * part)])
    assert read(tmp_path) is None


def test_damage_anywhere_never_crashes(tmp_path):
    file = stored(tmp_path, track_of())
    whole = file.read_bytes()
    outcomes = []
    for place in range(4, len(whole) - 16, 37):
        file.write_bytes(whole[:place] + b"\xff" * 16 + whole[place + 16 :])
        outcomes.append(read(tmp_path) is None)
    assert outcomes.count(True) > len(outcomes) / 2


def test_a_foreign_parquet_file_is_none(tmp_path):
    file = stored(tmp_path, track_of())
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
