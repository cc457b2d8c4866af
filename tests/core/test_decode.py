"""Decoding: the right pictures with the right times, whatever the container; hostile files are refused."""

import ctypes
import io
import os
from fractions import Fraction

import numpy as np
import pytest

from tests.media_maker import (
    cut_short,
    make_resized,
    make_sound,
    make_video,
    patch,
    remux,
    stamp_of,
    stamped,
    turn,
)
from transforms.core import decode, media
from transforms.core.child import Child, Limits
from transforms.core.tasks import TaskError

EVERY_FRAME = {"frame_stride": 1}
NATIVE = {"mode": "native"}
#: Irregular, with a long gap; starts late.
UNEVEN = [2.0, 2.04, 2.2, 2.21, 3.0, 3.5, 3.52, 7.0, 7.04, 7.3, 7.301, 9.0]


class Decoded:
    """What `decode.samples` gives, joined."""

    def __init__(self, path, sampling=None, frame_rule=None, batch_frames=16, **rest):
        fields = {"path": path, "sampling": sampling or EVERY_FRAME, "frame_rule": frame_rule or NATIVE}
        items = list(decode.samples({**fields, "batch_frames": batch_frames, **rest}))
        self.report = {name: value for name, value in items[-1][0]["report"].items() if name != "cpu_msec"}
        self.batches = []
        self.times, self.indices, self.pictures = [], [], []
        for facts, payload in items[:-1]:
            if facts:
                pictures = np.frombuffer(payload, np.uint8).reshape(facts["shape"])
                assert len(facts["times"]) == len(facts["frame_indices"]) == len(pictures)
                self.batches.append(len(pictures))
                self.times += facts["times"]
                self.indices += facts["frame_indices"]
                self.pictures += list(pictures)

    @property
    def stamps(self):
        return [stamp_of(picture) for picture in self.pictures]


def probe(path):
    ((facts, payload),) = media.probe({"path": path})
    assert payload is None
    return facts


def near(times):
    """Times agree to the tick of any container."""
    return pytest.approx(list(times), abs=0.0006)


REGULAR = {
    "mp4": ("a.mp4", {}),
    "mp4 without B-frames": ("a.mp4", {"bframes": 0}),
    "mp4 with many B-frames": ("a.mp4", {"bframes": 8, "options": {"b-adapt": "0", "b-pyramid": "normal"}, "gop": 60}),
    "mp4 one key frame": ("a.mp4", {"gop": 1000}),
    "mp4 mpeg4": ("a.mp4", {"codec": "mpeg4"}),
    "mp4 ntsc": ("a.mp4", {"rate": Fraction(30000, 1001)}),
    "mov": ("a.mov", {}),
    "mkv": ("a.mkv", {}),
    "mkv ffv1": ("a.mkv", {"codec": "ffv1"}),
    "webm vp8": ("a.webm", {"codec": "libvpx"}),
    "webm vp9": ("a.webm", {"codec": "libvpx-vp9"}),
    "mpegts": ("a.ts", {}),
    "mpegts mpeg2": ("a.ts", {"codec": "mpeg2video"}),
    "mpeg program stream": ("a.mpg", {"codec": "mpeg1video", "container": "mpeg"}),
    "flv": ("a.flv", {}),
    "wmv": ("a.wmv", {"codec": "wmv2", "bframes": 0}),
    "avi without B-frames": ("a.avi", {"codec": "mpeg4", "bframes": 0}),
    "sound beside it": ("a.mp4", {"audio": True}),
}


@pytest.mark.parametrize(("name", "how"), REGULAR.values(), ids=REGULAR)
def test_regular_videos_have_the_times_of_their_frames(tmp_path, name, how):
    decoded = Decoded(make_video(tmp_path / name, 60, **how))
    assert decoded.stamps == decoded.indices == list(range(60))
    assert decoded.times == near(index / how.get("rate", 25) for index in range(60))
    assert decoded.report["frames_decoded"] == 60
    assert decoded.report["decoded_seconds"] == pytest.approx(60 / how.get("rate", 25), abs=0.002)
    assert decoded.report["flags"] == []


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.flv"])
def test_uneven_times_are_kept(tmp_path, name):
    decoded = Decoded(make_video(tmp_path / name, len(UNEVEN), times=UNEVEN))
    assert decoded.stamps == list(range(len(UNEVEN)))
    assert decoded.times == near(time - UNEVEN[0] for time in UNEVEN)
    assert decoded.report["flags"] == []


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_times_count_from_the_start_of_the_stream(tmp_path, name):
    start = 22954.0
    decoded = Decoded(make_video(tmp_path / name, 30, times=[start + index / 25 for index in range(30)]))
    assert decoded.times == near(index / 25 for index in range(30))
    assert decoded.stamps == list(range(30))
    assert decoded.report["flags"] == []
    assert probe(str(tmp_path / name))["duration_seconds"] == pytest.approx(1.2, abs=0.05)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_avi_with_b_frames_ascends_in_the_right_order(tmp_path, codec):
    """AVI stores no presentation times: FFmpeg's guesses for B-frames are permuted."""
    decoded = Decoded(make_video(tmp_path / "a.avi", 60, codec=codec, bframes=2))
    assert decoded.stamps == list(range(60))
    assert (np.diff(decoded.times) > 0).all()
    assert np.diff(decoded.times) == near([1 / 25] * 59)
    assert 0 <= decoded.times[0] <= 2 / 25


def test_a_video_without_duration_is_no_truncated_one(tmp_path):
    class Pipe(io.RawIOBase):
        """Takes bytes and cannot go back."""

        def __init__(self):
            super().__init__()
            self.content = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.content += data
            return len(data)

    pipe = Pipe()
    remux(make_video(tmp_path / "whole.mkv", 60), pipe, "matroska")
    (tmp_path / "a.mkv").write_bytes(pipe.content)
    assert probe(str(tmp_path / "a.mkv"))["duration_seconds"] is None
    decoded = Decoded(str(tmp_path / "a.mkv"))
    assert decoded.stamps == list(range(60))
    assert (decoded.report["frames_decoded"], decoded.report["flags"]) == (60, [])
    assert decoded.report["decoded_seconds"] == pytest.approx(2.4, abs=0.001)


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv"])
@pytest.mark.parametrize("stride", [1, 2, 7])
def test_stride(tmp_path, name, stride):
    decoded = Decoded(make_video(tmp_path / name, 50), {"frame_stride": stride})
    assert decoded.stamps == decoded.indices == list(range(0, 50, stride))
    assert decoded.times == near(index / 25 for index in range(0, 50, stride))
    assert decoded.report["frames_decoded"] == 50


@pytest.mark.parametrize(
    ("fps", "times", "expected"),
    [
        (5, None, list(range(0, 50, 5))),
        (10, None, [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28, 30, 33, 35, 38, 40, 43, 45, 48]),
        (1, UNEVEN, [0, 4, 7, 11]),
        (100, UNEVEN, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11]),
    ],
    ids=["divides", "does not divide", "gaps", "nearly every frame"],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
def test_fps(tmp_path, name, fps, times, expected):
    count = len(times) if times else 50
    decoded = Decoded(make_video(tmp_path / name, count, times=times), {"fps": fps})
    assert decoded.stamps == decoded.indices == expected
    start = times[0] if times else 0
    assert decoded.times == near((times[i] - start if times else i / 25) for i in expected)


@pytest.mark.parametrize(("batch_frames", "expected"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (64, [7])])
def test_batches_are_full_and_never_larger(tmp_path, batch_frames, expected):
    assert Decoded(make_video(tmp_path / "a.mp4", 7), batch_frames=batch_frames).batches == expected


def test_signs_of_life_come_without_samples(tmp_path):
    path = make_video(tmp_path / "a.mp4", 1100, size=(48, 32), options={"preset": "ultrafast"})
    request = {"path": path, "sampling": {"frame_stride": 2000}, "frame_rule": NATIVE, "batch_frames": 4}
    items = [facts for facts, _ in decode.samples(request)]
    assert items.count({}) == 2


@pytest.mark.parametrize(
    ("rule", "shape"),
    [
        ({"mode": "native"}, (108, 192, 3)),
        ({"mode": "squash", "width": 128, "height": 128}, (128, 128, 3)),
        ({"mode": "squash", "width": 96, "height": 54, "interpolation": "bicubic"}, (54, 96, 3)),
        ({"mode": "crop", "width": 96, "height": 48, "shorter_side": 96}, (48, 96, 3)),
        ({"mode": "crop", "width": 224, "height": 224, "shorter_side": 256}, (224, 224, 3)),
    ],
    ids=["native", "squash", "bicubic", "crop", "enlarging crop"],
)
def test_pictures_have_the_shape_of_the_rule(tmp_path, rule, shape):
    decoded = Decoded(make_video(tmp_path / "a.mp4", 5), frame_rule=rule)
    assert [picture.shape for picture in decoded.pictures] == [shape] * 5


def test_native_pictures_are_exact(tmp_path):
    path = make_video(tmp_path / "a.mkv", 5, codec="ffv1", pixel_format="bgr0")
    for index, picture in enumerate(Decoded(path).pictures):
        assert np.array_equal(picture, stamped(index))


def bars(index, width=192, height=108):
    """Left sixth red, right sixth blue, top and bottom eighth white, the rest grey."""
    picture = np.full((height, width, 3), 90, np.uint8)
    picture[:, : width // 6] = (200, 30, 30)
    picture[:, -width // 6 :] = (30, 30, 200)
    picture[: height // 8] = picture[-height // 8 :] = 235
    return picture


def colour_at(picture, x, y):
    """Names the colour at relative coordinates."""
    height, width = picture.shape[:2]
    red, green, blue = picture[int(y * height), int(x * width)].astype(int)
    if min(red, green, blue) > 180:
        return "white"
    return "red" if red > green + 60 else "blue" if blue > green + 60 else "grey"


def test_squash_keeps_the_whole_picture(tmp_path):
    path = make_video(tmp_path / "a.mp4", 2, picture=bars)
    (picture, _) = Decoded(path, frame_rule={"mode": "squash", "width": 64, "height": 64}).pictures
    assert [colour_at(picture, x, 0.5) for x in (0.03, 0.5, 0.97)] == ["red", "grey", "blue"]
    assert [colour_at(picture, 0.5, y) for y in (0.03, 0.97)] == ["white", "white"]


def test_crop_takes_the_centre_at_full_height(tmp_path):
    path = make_video(tmp_path / "a.mp4", 2, picture=bars)
    (picture, _) = Decoded(path, frame_rule={"mode": "crop", "width": 54, "height": 54, "shorter_side": 54}).pictures
    assert [colour_at(picture, x, 0.5) for x in (0.04, 0.5, 0.96)] == ["grey"] * 3
    assert [colour_at(picture, 0.5, y) for y in (0.03, 0.97)] == ["white", "white"]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_pixel_shape_is_applied_in_crop(tmp_path, name):
    """192 x 108 samples of 9:16 are a square picture: a square crop holds its sides."""

    def set_aspect(_, stream):
        stream.codec_context.sample_aspect_ratio = Fraction(9, 16)

    path = make_video(tmp_path / name, 10, picture=bars, configure=set_aspect)
    facts = probe(path)
    assert (facts["width"], facts["height"]) == (108, 108)
    picture = Decoded(path, frame_rule={"mode": "crop", "width": 54, "height": 54, "shorter_side": 54}).pictures[0]
    assert [colour_at(picture, x, 0.5) for x in (0.04, 0.5, 0.96)] == ["red", "grey", "blue"]


def corner(index, width=192, height=108):
    """Grey, with a red top left corner."""
    picture = np.full((height, width, 3), 90, np.uint8)
    picture[: height // 3, : width // 3] = (200, 30, 30)
    return picture


CORNERS = {"top left": (0.1, 0.1), "top right": (0.9, 0.1), "bottom left": (0.1, 0.9), "bottom right": (0.9, 0.9)}

#: The display matrix, and where it shows the top left corner.
TURNS = {
    "0": ((1, 0, 0, 1), "top left"),
    "90": ((0, 1, -1, 0), "top right"),
    "180": ((-1, 0, 0, -1), "bottom right"),
    "270": ((0, -1, 1, 0), "bottom left"),
    "mirrored": ((-1, 0, 0, 1), "top right"),
    "upside down": ((1, 0, 0, -1), "bottom left"),
}


@pytest.mark.parametrize(("matrix", "expected"), TURNS.values(), ids=TURNS)
@pytest.mark.parametrize(
    "rule",
    [
        {"mode": "crop", "width": 80, "height": 80, "shorter_side": 80},
        {"mode": "squash", "width": 96, "height": 64},
    ],
    ids=["crop", "squash"],
)
def test_pictures_are_shown_the_right_way_up(tmp_path, matrix, expected, rule):
    path = turn(make_video(tmp_path / "a.mp4", 2, size=(108, 108), picture=lambda i: corner(i, 108, 108)), matrix)
    picture = Decoded(path, frame_rule=rule).pictures[0]
    assert [name for name, place in CORNERS.items() if colour_at(picture, *place) == "red"] == [expected]


@pytest.mark.parametrize(
    ("matrix", "size"), [((1, 0, 0, 1), (192, 108)), ((0, 1, -1, 0), (108, 192)), ((-1, 0, 0, -1), (192, 108))]
)
def test_probe_tells_the_size_as_shown(tmp_path, matrix, size):
    facts = probe(turn(make_video(tmp_path / "a.mp4", 2), matrix))
    assert (facts["width"], facts["height"]) == size


def test_probe_tells_the_facts(tmp_path):
    facts = probe(make_video(tmp_path / "a.mp4", 50, audio=True))
    assert facts == {
        "duration_seconds": pytest.approx(2.0),
        "width": 192,
        "height": 108,
        "frame_rate": 25.0,
        "container": "mov,mp4,m4a,3gp,3g2,mj2",
        "codec": "h264",
        "has_audio": True,
    }


def test_size_may_change_mid_stream(tmp_path):
    path = make_resized(tmp_path / "a.ts", 10)
    scaled = Decoded(path, frame_rule={"mode": "squash", "width": 96, "height": 54})
    assert scaled.stamps == scaled.indices == list(range(20))
    assert scaled.times == near(index / 25 for index in range(20))
    native = Decoded(path)
    assert native.batches == [10, 10]
    assert [picture.shape for picture in native.pictures] == [(108, 192, 3)] * 10 + [(54, 96, 3)] * 10
    assert native.stamps == list(range(20))


def cover_art(folder):
    return make_sound(folder / "a.mp4", cover=True)


def sound_alone(folder):
    return make_sound(folder / "a.m4a")


@pytest.mark.parametrize("make", [cover_art, sound_alone])
@pytest.mark.parametrize("task", [Decoded, probe], ids=["samples", "probe"])
def test_sound_is_no_video(tmp_path, make, task):
    with pytest.raises(TaskError, match="no video stream") as caught:
        task(make(tmp_path))
    assert caught.value.code == "no_video"


PLAYLISTS = {
    "ffconcat": "ffconcat version 1.0\nfile 'secret.mp4'\n",
    "ffconcat absolute": "ffconcat version 1.0\nfile '{folder}/secret.mp4'\n",
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecret.ts\n#EXT-X-ENDLIST\n",
    "m3u8 absolute": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{folder}/secret.ts\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT2S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" '
    'bandwidth="1"><BaseURL>secret.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
}
NOT_VIDEOS = {
    "empty": "",
    "html": "<!DOCTYPE html><html><body>Video unavailable</body></html>" * 20,
    "text": "just some text\n" * 100,
    "noise": "".join(chr(number * 7 % 128) for number in range(5000)),
    "gif name": "GIF8",
    **PLAYLISTS,
}


@pytest.mark.parametrize("content", NOT_VIDEOS.values(), ids=NOT_VIDEOS)
@pytest.mark.parametrize("task", [Decoded, probe], ids=["samples", "probe"])
def test_what_is_no_video_is_unreadable(tmp_path, content, task):
    make_video(tmp_path / "secret.mp4", 5)
    make_video(tmp_path / "secret.ts", 5)
    (tmp_path / "a.mp4").write_text(content.replace("{folder}", str(tmp_path)))
    with pytest.raises(TaskError, match="no readable video container") as caught:
        task(str(tmp_path / "a.mp4"))
    assert caught.value.code == "unreadable_video"
    assert "\n" not in str(caught.value)


@pytest.fixture
def opened_files():
    """Returns a function that watches files, and one that tells how often they were opened since; asks the kernel."""
    libc, when_opened = ctypes.CDLL(None), 0x20
    descriptor = libc.inotify_init1(os.O_NONBLOCK)
    assert descriptor >= 0

    def watch(path):
        assert libc.inotify_add_watch(descriptor, os.fsencode(path), when_opened) > 0

    def count():
        try:
            return len(os.read(descriptor, 4096)) // 16
        except BlockingIOError:
            return 0

    yield watch, count
    os.close(descriptor)


@pytest.mark.parametrize("content", PLAYLISTS.values(), ids=PLAYLISTS)
@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "mpd", "ffconcat", "sdp"])
def test_playlists_open_no_other_file(tmp_path, opened_files, content, suffix):
    watch, count = opened_files
    for name in ("secret.mp4", "secret.ts"):
        watch(make_video(tmp_path / name, 5))
    path = tmp_path / f"a.{suffix}"
    path.write_text(content.replace("{folder}", str(tmp_path)))
    with pytest.raises(TaskError):
        Decoded(str(path))
    assert count() == 0
    Decoded(str(tmp_path / "secret.mp4"))
    assert count() > 0  # the watch does see who opens it


@pytest.mark.parametrize("path", ["missing.mp4", ".", "/dev/null"])
def test_a_path_that_is_no_file_is_unreadable(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TaskError) as caught:
        Decoded(path)
    assert caught.value.code == "unreadable_video"


@pytest.mark.parametrize(
    "name", ["http:a.mp4", "a:b.mp4", "concat:x|y.mp4", "-i.mp4", "a%03d.mp4", "a b?#&.mp4", "滑.mp4"]
)
def test_file_names_are_only_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "made.mp4", 5)
    (tmp_path / "made.mp4").rename(tmp_path / name)
    assert Decoded(name).stamps == list(range(5))
    assert Decoded(str(tmp_path / name)).stamps == list(range(5))


def test_a_container_beyond_the_list_is_unreadable(tmp_path):
    path = make_video(tmp_path / "a.nut", 5)
    with pytest.raises(TaskError) as caught:
        Decoded(path)
    assert caught.value.code == "unreadable_video"


@pytest.mark.parametrize("part", [0.3, 0.6, 0.8])
@pytest.mark.parametrize("how", ["mp4 faststart", "mkv"])
def test_a_truncated_file_gives_what_is_there_and_the_flag(tmp_path, part, how):
    whole = make_video(tmp_path / "whole.mkv", 300)
    if how == "mp4 faststart":
        whole = remux(whole, tmp_path / "whole.mp4", options={"movflags": "+faststart"})
    path = cut_short(whole, tmp_path / f"a.{whole[-3:]}", part)
    decoded = Decoded(path)
    count = len(decoded.stamps)
    assert 0.2 * part < count / 300 < 1
    assert decoded.stamps[: count - 3] == list(range(count - 3))  # B-frames before the lost packet may be lost with it
    assert decoded.times == near(stamp / 25 for stamp in decoded.stamps)
    assert "truncated" in decoded.report["flags"]
    assert decoded.report["frames_decoded"] == count
    assert decoded.report["decoded_seconds"] == pytest.approx(decoded.times[-1] + 1 / 25, abs=0.002)
    assert probe(path)["duration_seconds"] == pytest.approx(12, abs=0.1)


def test_a_truncated_mp4_without_its_index_is_unreadable(tmp_path):
    path = cut_short(make_video(tmp_path / "whole.mp4", 100), tmp_path / "a.mp4", 0.6)
    with pytest.raises(TaskError) as caught:
        Decoded(path)
    assert caught.value.code == "unreadable_video"


def test_a_video_of_noise_has_no_frames(tmp_path):
    path = remux(make_video(tmp_path / "whole.mp4", 30), tmp_path / "a.mp4", damage="video")
    for task in (Decoded, probe):
        with pytest.raises(TaskError) as caught:
            task(path)
        assert caught.value.code == "no_frames"


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv"])
def test_metadata_may_be_in_any_encoding(tmp_path, name):
    def name_it(container, _):
        container.metadata["title"] = "caf#tim"

    path = make_video(tmp_path / f"whole-{name}", 10, codec="mpeg4", bframes=0, configure=name_it)
    path = patch(path, tmp_path / name, b"caf#tim", b"caf\xe9tim")
    assert Decoded(path).stamps == list(range(10))
    assert probe(path)["codec"] == "mpeg4"


def test_the_frame_cap_is_flagged(tmp_path):
    path = make_video(tmp_path / "a.mp4", 100)
    capped = Decoded(path, max_frames=30)
    assert capped.stamps == list(range(30))
    assert capped.report["frames_decoded"] == 30
    assert "frame_cap" in capped.report["flags"]
    assert Decoded(path, max_frames=1000).report["flags"] == []


def test_decoders_with_threads_can_be_left_early(tmp_path):
    path = make_video(tmp_path / "a.mp4", 60, size=(640, 480))
    request = {"path": path, "sampling": {"frame_stride": 1}, "frame_rule": {"mode": "native"}, "batch_frames": 4}
    child = Child(Limits(stall_seconds=20))
    try:
        for _ in range(60):  # one in about 20 hung while FFmpeg's messages went through PyAV
            *_, last = child.call("decode:samples", {**request, "threads": 3, "max_frames": 12})
            assert last.facts["report"]["flags"] == ["frame_cap"]
    finally:
        child.close()


def test_the_pixel_cap_refuses_larger_pictures(tmp_path):
    path = make_video(tmp_path / "a.mp4", 5, size=(640, 360))
    assert len(Decoded(path, max_pixels=640 * 368).stamps) == 5
    with pytest.raises(TaskError) as caught:
        Decoded(path, max_pixels=640 * 300)
    assert caught.value.code == "no_frames"
