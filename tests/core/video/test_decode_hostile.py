"""Files that are no videos are refused and open nothing else; damaged ones give what is there, flagged."""

import ctypes
import os
import wave

import pytest

from clipscout.transforms.core.child.protocol import TaskError
from tests.decoded import Decoded, near, probe
from tests.media_maker import cut_short, make_sound, make_video, patch, remux


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


@pytest.mark.parametrize(
    ("path", "code"), [("missing.mp4", "not_found"), (".", "unreadable_video"), ("/dev/null", "unreadable_video")]
)
def test_a_path_that_is_no_file_is_unreadable(tmp_path, monkeypatch, path, code):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TaskError) as caught:
        Decoded(path)
    assert caught.value.code == code


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
    with wave.open(str(tmp_path / "a.mp4"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))
    with pytest.raises(TaskError) as caught:
        Decoded(str(tmp_path / "a.mp4"))
    assert caught.value.code == "unreadable_video"
    assert str(caught.value).startswith("no readable video container: it is wav, and allowed are mov, mp4, ")


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
    # of some of the packets that are there nothing can be decoded
    assert decoded.report["decoded_seconds"] - 0.01 <= probe(path)["duration_seconds"] < 12 * part + 1


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
