"""Clips cut for tests: what is seen and heard in them."""

from pathlib import Path

import av
import numpy as np

from clipscout.transforms.core.clips import cutting
from tests.media_maker import read_video, stamp_of

#: Times of frames, irregular and with long gaps.
UNEVEN = np.cumsum(np.random.default_rng(1).choice([0.02, 0.04, 0.1, 0.3], 60)).round(3).tolist()


def cut(source, folder, *spans, **request):
    """Cuts spans, as the rest of the request says, and returns the facts of each, with its path."""
    wanted = [
        {"start_seconds": start, "end_seconds": end, "path": str(folder / f"clip{place}.mp4")}
        for place, (start, end) in enumerate(spans)
    ]
    items = [facts for facts, _ in cutting.cut({"path": str(source), "spans": wanted, **request}) if facts]
    assert [facts["index"] for facts in items] == list(range(len(spans)))
    return [{**facts, "path": span["path"]} for facts, span in zip(items, wanted, strict=True)]


def stamps(clip):
    """Returns the number that each frame of a clip carries."""
    assert "code" not in clip, clip
    return [stamp_of(picture) for _, picture in read_video(clip["path"])]


def times(clip):
    """Returns the time of each frame of a clip."""
    return [time for time, _ in read_video(clip["path"])]


def onset(path):
    """Returns the second at which the tone begins, and the seconds of sound."""
    with av.open(path) as container:
        frames = list(container.decode(audio=0))
        start = frames[0].time
        sound = np.concatenate([frame.to_ndarray()[0] for frame in frames])
        return start + np.argmax(np.abs(sound) > 0.1) / 48_000, len(sound) / 48_000


def boxes(path):
    """Returns the names of an mp4's top-level boxes in order."""
    content = Path(path).read_bytes()
    found, place = [], 0
    while place < len(content):
        found.append(content[place + 4 : place + 8].decode())
        place += int.from_bytes(content[place : place + 4], "big")
    return found
