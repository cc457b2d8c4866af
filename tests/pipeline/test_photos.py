"""Meaning: labelled real photos, shown one after the other, get their label at their time from real weights."""

import pytest

from tests.conftest import read_jsonl
from tests.jobs import run_rows
from tests.media_maker import make_video
from tests.photos import ACTIONS, picture_of, rows_of

SECONDS, RATE, SIZE = 4, 10, (320, 240)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    pictures = [picture_of(name, SIZE) for name, _ in ACTIONS.values()]
    video = make_video(
        folder / "photos.mp4",
        len(pictures) * SECONDS * RATE,
        rate=RATE,
        size=SIZE,
        picture=lambda index: pictures[index // (SECONDS * RATE)],
    )
    status, output = run_rows(folder, rows_of(video), "lite0", "--cut=none", "--top_k=5", "--min_gap_seconds=4")
    assert status == 0
    return read_jsonl(output / "spans.jsonl")


@pytest.mark.parametrize(("place", "action"), enumerate(ACTIONS), ids=ACTIONS)
def test_each_photo_gets_its_label_at_its_time(shown, place, action):
    _, classes = ACTIONS[action]
    best, *others = sorted((row for row in shown if row["action"] == action), key=lambda row: row["rank"])
    assert place * SECONDS <= best["peak_seconds"] < (place + 1) * SECONDS
    assert best["top_label"] in classes
    assert best["score"] > 0.3
    assert all(row["score"] < best["score"] / 5 for row in others)
