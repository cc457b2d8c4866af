"""A file of stretches of another, of which only the bytes that they need are there."""

from pathlib import Path

import av
import pytest

from clipscout.transforms.core.child.protocol import TaskError
from clipscout.transforms.core.video import pieces
from tests.media_maker import make_video, stamp_of

RATE = 25
STRETCHES = [[4.0, 5.0], [12.0, 14.0]]


def last(task, **request):
    *_, (answer, _) = task(request)
    return answer


@pytest.mark.parametrize("bframes", [0, 3])
def test_only_the_bytes_of_the_stretches_are_needed(tmp_path, bframes):
    whole = make_video(tmp_path / "a.mp4", 20 * RATE, audio=True, bframes=bframes)
    planned = last(pieces.plan, path=whole, seconds=STRETCHES)
    assert planned["whole"] == {"whole_seconds": pytest.approx(20, abs=0.05), "whole_frame_rate": RATE}
    data = Path(whole).read_bytes()
    held, needed = bytearray(len(data)), planned["ranges"]
    media = data.index(b"mdat") + 4, data.index(b"moov") - 4
    for start, end in [*needed, (0, media[0]), (media[1], len(data))]:
        held[start:end] = data[start:end]
    (tmp_path / "b.mp4").write_bytes(held)

    path = last(pieces.keep, path=str(tmp_path / "b.mp4"), seconds=STRETCHES, folder=str(tmp_path))["path"]
    with av.open(path) as container:
        frames = [(frame.time, stamp_of(frame.to_ndarray(format="rgb24"))) for frame in container.decode(video=0)]
    with av.open(path) as container:
        heard = [frame.time for frame in container.decode(audio=0)]
    assert all(round(time * RATE) == stamp for time, stamp in frames)
    shown = [stamp for _, stamp in frames]
    assert shown[0] == 0
    for start, end in STRETCHES:
        assert {*range(round(start * RATE), round(end * RATE) + 1)} <= {*shown}
        assert len([time for time in heard if start <= time <= end]) == pytest.approx(
            (end - start) * 48_000 / 1024, abs=2
        )
    assert len(frames) < 8 * RATE


def test_a_file_without_an_index_has_no_pieces(tmp_path):
    path = make_video(tmp_path / "a.ts", 10)
    with pytest.raises(TaskError, match="no index") as caught:
        last(pieces.plan, path=path, seconds=STRETCHES)
    assert caught.value.code == "unreadable_video"
