"""Posters: the right frame of a clip, at its size, upright, in its colours."""

import av
import numpy as np
import pytest

from clipscout.transforms.core.clips import cutting
from tests.media_maker import TURNS, corner, make_coloured, make_video, red_corners, shape_pixels, stamp_of, turn


def cut(source, folder, start, end, **request):
    """Cuts one span with a poster; returns the facts and the poster's pixels."""
    span = {"start_seconds": start, "end_seconds": end, "path": str(folder / "clip.mp4")}
    span |= {name: request.pop(name) for name in ("peak_seconds",) if name in request}
    request = {"path": str(source), "spans": [span], "poster": True, **request}
    (facts,) = (facts for facts, _ in cutting.cut(request) if facts)
    assert "code" not in facts, facts
    return facts, read(folder / "clip.jpg") if facts["poster"] else None


def read(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "mjpeg"
        return next(container.decode(stream)).to_ndarray(format="rgb24")


@pytest.mark.parametrize("mode", ["exact", "copy"])
@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
@pytest.mark.parametrize(
    ("peak", "expected"),
    [(None, 60), (1.96, 49), (1.99, 50), (2.61, 65), (0, None), (99, None)],
    ids=["middle", "a frame", "nearest", "between", "before", "behind"],
)
def test_the_frame_is_that_of_the_peak(tmp_path, mode, name, peak, expected):
    source = make_video(tmp_path / name, 100, gop=24, bframes=2)
    more = {} if peak is None else {"peak_seconds": peak}
    facts, picture = cut(source, tmp_path, 1.8, 3.0, mode=mode, **more)
    if expected is None:  # the nearest one of the clip
        expected = round(facts["start_seconds" if peak == 0 else "end_seconds"] * 25) - (peak == 99)
    assert stamp_of(picture) == expected
    assert picture.shape == (facts["height"], facts["width"], 3) == (108, 192, 3)


def test_without_the_wish_there_is_none(tmp_path):
    source = make_video(tmp_path / "a.mp4", 50)
    span = {"start_seconds": 0, "end_seconds": 1, "path": str(tmp_path / "clip.mp4"), "peak_seconds": 0.5}
    (facts,) = (facts for facts, _ in cutting.cut({"path": source, "spans": [span]}) if facts)
    assert facts["poster"] is False
    assert not (tmp_path / "clip.jpg").exists()


def test_spans_that_overlap_have_posters_of_their_own(tmp_path):
    source = make_video(tmp_path / "a.mp4", 100)
    peaks = (0.8, 1.2, 2.2)
    spans = [
        {
            "start_seconds": place / 2,
            "end_seconds": place / 2 + 1.5,
            "path": f"{tmp_path}/{place}.mp4",
            "peak_seconds": peak,
        }
        for place, peak in enumerate(peaks)
    ]
    assert all(facts["poster"] for facts, _ in cutting.cut({"path": source, "spans": spans, "poster": True}) if facts)
    assert [stamp_of(read(tmp_path / f"{place}.jpg")) for place in range(3)] == [20, 30, 55]


def test_the_size_is_that_of_the_clip(tmp_path):
    source = make_video(tmp_path / "a.mp4", 50, configure=shape_pixels(4, 3))
    facts, picture = cut(source, tmp_path, 0, 1, height=54)
    assert picture.shape == (54, 128, 3) == (facts["height"], facts["width"], 3)
    facts, picture = cut(source, tmp_path, 0, 1, mode="copy")
    assert picture.shape == (108, 256, 3) == (facts["height"], facts["width"], 3)


@pytest.mark.parametrize("mode", ["exact", "copy"])
@pytest.mark.parametrize(("matrix", "size", "expected"), TURNS.values(), ids=TURNS)
def test_posters_are_upright(tmp_path, mode, matrix, size, expected):
    source = turn(make_video(tmp_path / "a.mp4", 10, picture=corner), matrix)
    facts, picture = cut(source, tmp_path, 0, 0.4, mode=mode)
    assert (facts["width"], facts["height"]) == size
    assert picture.shape == (size[1], size[0], 3)
    assert red_corners(picture) == [expected]


@pytest.mark.parametrize("mode", ["exact", "copy"])
@pytest.mark.parametrize("colour_space", [1, 5], ids=["bt709", "bt601"])
@pytest.mark.parametrize(("colour_range", "pixel_format"), [(1, "yuv420p"), (2, "yuvj420p")], ids=["limited", "full"])
def test_colours_are_those_of_the_clip(tmp_path, mode, colour_space, colour_range, pixel_format):
    wanted = np.array([200, 120, 40])
    source = make_coloured(tmp_path / "a.mp4", wanted, colour_space, colour_range, pixel_format)
    _, picture = cut(source, tmp_path, 0, 0.4, mode=mode)
    assert picture.mean(axis=(0, 1)) == pytest.approx(wanted, abs=5)


@pytest.mark.parametrize("mode", ["exact", "copy"])
def test_a_poster_that_cannot_be_written_spoils_no_clip(tmp_path, mode):
    source = make_video(tmp_path / "a.mp4", 50)
    (tmp_path / "clip.jpg").mkdir()
    facts, _ = cut(source, tmp_path, 0, 1, mode=mode)
    assert (facts["poster"], facts["frames"] >= 25) == (False, True)


def test_a_posters_name_is_taken_as_it_is(tmp_path):
    source = make_video(tmp_path / "a.mp4", 50)
    folder = tmp_path / "100% %d"
    folder.mkdir()
    facts, picture = cut(source, folder, 0, 1)
    assert facts["poster"]
    assert stamp_of(picture) in (12, 13)
