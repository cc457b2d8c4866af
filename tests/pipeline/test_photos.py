"""Meaning: labelled real photos, shown one after the other, get their label at their time from real weights."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import read_jsonl
from tests.jobs import run_rows
from tests.media_maker import make_video

#: Photos that scikit-image ships, and the ImageNet labels of what a person sees in them.
PHOTOS = {
    "chelsea.png": ("stroking a cat", ["tabby", "tiger cat", "Egyptian cat"]),
    "coffee.png": ("drinking coffee", ["espresso", "cup"]),
    "camera.png": ("filming", ["tripod"]),
    "rocket.jpg": ("launching a rocket", ["missile", "projectile"]),
    "motorcycle_left.png": ("riding a scooter", ["moped", "motor scooter"]),
}
SECONDS, RATE, SIZE = 4, 10, (320, 240)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (place,) = importlib.util.find_spec("skimage").submodule_search_locations
    pictures = [
        np.asarray(Image.open(Path(place) / "data" / name).convert("RGB").resize(SIZE, Image.Resampling.BICUBIC))
        for name in PHOTOS
    ]
    video = make_video(
        folder / "photos.mp4",
        len(PHOTOS) * SECONDS * RATE,
        rate=RATE,
        size=SIZE,
        picture=lambda index: pictures[index // (SECONDS * RATE)],
    )
    rows = [{"action": action, "classes": classes, "path": video} for action, classes in PHOTOS.values()]
    status, output = run_rows(folder, rows, "lite0", "--cut=none", "--top_k=5", "--min_gap_seconds=4")
    assert status == 0
    return read_jsonl(output / "spans.jsonl")


@pytest.mark.parametrize("place", range(len(PHOTOS)))
def test_each_photo_gets_its_label_at_its_time(shown, place):
    action, classes = list(PHOTOS.values())[place]
    best, *others = sorted((row for row in shown if row["action"] == action), key=lambda row: row["rank"])
    assert place * SECONDS <= best["peak_seconds"] < (place + 1) * SECONDS
    assert best["top_label"] in classes
    assert best["score"] > 0.3
    assert all(row["score"] < best["score"] / 5 for row in others)
