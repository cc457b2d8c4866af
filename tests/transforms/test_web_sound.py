"""Sound of web videos whose site keeps it apart from the picture: in the clips, and beside the right pictures."""

import av
import numpy as np
import pytest

from clipscout.transforms.core.child.supervisor import Child
from clipscout.transforms.core.video import muxing
from tests.conftest import COLOURS, read_jsonl
from tests.media_maker import make_video, remux, stamped
from tests.web_jobs import by_key, video

RATE, TONE_AT = 10, 2.0
OPTIONS = ("--min_score=0.5", "--top_k=1", "--clip_seconds=2", "--shots=ignore")


def only(source, target, kind):
    """Copies the stream of one kind."""
    with av.open(str(source)) as original, av.open(str(target), "w") as output:
        stream = getattr(original.streams, kind)[0]
        copy = output.add_stream_from_template(stream)
        for packet in original.demux(stream):
            if packet.size:
                packet.stream = copy
                output.mux(packet)


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """A video in two heights, red and with a tone from 2 s on; and its picture and sound alone."""
    folder = tmp_path_factory.mktemp("site")
    colours = [COLOURS["red" if 2 * RATE <= index < 4 * RATE else "grey"] for index in range(7 * RATE)]
    for height, size in ((144, (256, 144)), (360, (640, 360))):
        make_video(
            folder / f"muxed_{height}.mp4",
            len(colours),
            rate=RATE,
            size=size,
            audio=True,
            tone_at=TONE_AT,
            picture=lambda index, size=size: stamped(index, *size, background=colours[index]),
        )
        only(folder / f"muxed_{height}.mp4", folder / f"picture_{height}.mp4", "video")
    only(folder / "muxed_144.mp4", folder / "sound.m4a", "audio")
    return folder


def catalogue(sound="separate", **fields):
    media = "muxed_{height}.mp4" if sound == "muxed" else "picture_{height}.mp4"
    return {"a": video("red", media=media, sound=sound, duration=7, **fields)}


def tone_starts(path):
    """Returns the second at which the sound of a file becomes loud; None where it has none."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray().astype(float)).max(axis=0) > 0.1)
            if loud.size:
                return frame.time + loud[0] / frame.sample_rate
    raise AssertionError("no tone")


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_joined_files_hold_both_at_their_times(media, tmp_path, extension):
    picture, sound = tmp_path / f"p.{extension}", tmp_path / f"s.{extension}"
    remux(media / "picture_144.mp4", picture)
    remux(media / "sound.m4a", sound)
    *_, (answer, _) = muxing.join({"picture": str(picture), "sound": str(sound), "folder": str(tmp_path)})
    joined = answer["path"]
    with av.open(joined) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([index / RATE for index in range(7 * RATE)])
    assert tone_starts(joined) == pytest.approx(tone_starts(sound), abs=2e-3)


@pytest.mark.parametrize(
    ("sound", "more", "asked", "height", "flags"),
    [
        ("separate", [], 1, 144, []),
        ("separate", ["--clip_sound=false"], 0, 144, []),
        ("separate", ["--clip_max_height=360"], 2, 360, []),  # first a part is asked for
        ("muxed", [], 0, 144, []),
        ("", [], 0, 144, []),
    ],
)
def test_clips_have_the_sound_that_their_site_has(site, job, sound, more, asked, height, flags):
    server = site(catalogue(sound, heights=[144, 360]))
    status, output = job([{"action": "red", "query": "red"}], *OPTIONS, *more)
    assert status == 0
    (span,) = read_jsonl(output / "spans.jsonl")
    assert (span["clip_height"], span["clip_flags"]) == (height, flags)
    assert span["clip_has_audio"] == bool(sound and "--clip_sound=false" not in more)
    assert server.log().get("/sound/a/sound.m4a", 0) == asked
    if span["clip_has_audio"]:
        expected = TONE_AT - span["clip_start_seconds"]
        assert max(0, tone_starts(output / span["clip"])) == pytest.approx(max(0, expected), abs=0.05)
    before = server.log()
    job([{"action": "red", "query": "red"}], *OPTIONS, *more)
    assert {path: n for path, n in server.log().items() if not path.startswith("/search")} == {
        path: n for path, n in before.items() if not path.startswith("/search")
    }


def test_a_sound_that_cannot_be_had_costs_no_clip_and_is_told(site, job):
    site(catalogue(sound_fault="404"))
    status, output = job([{"action": "red", "query": "red"}], *OPTIONS)
    assert status == 0
    (span,) = read_jsonl(output / "spans.jsonl")
    assert (span["clip_has_audio"], span["clip_flags"]) == (False, ["sound_not_fetched"])
    assert by_key(output)["localvideo-a"]["facts"]["sound_missing"] == "not_found"


def test_a_clip_of_what_was_scored_tells_that_its_sound_was_not_fetched(site, job):
    site(catalogue(heights=[144, 360], fault="404", fault_from_height=360))
    for _ in ("cut", "reused"):
        _, output = job([{"action": "red", "query": "red"}], *OPTIONS, "--clip_max_height=360")
        (span,) = read_jsonl(output / "spans.jsonl")
        assert span["clip_flags"] == ["low_quality_not_found", "sound_not_fetched"]


def test_a_site_that_refuses_the_sound_refuses_the_video(site, job):
    site(catalogue(sound_fault="429"))
    _, output = job([{"action": "red", "query": "red"}], *OPTIONS)
    assert by_key(output)["localvideo-a"]["code"] == "blocked"


def test_what_is_fetched_is_looked_into_by_a_child_without_network(site, job, monkeypatch):
    asked, call = [], Child.call

    def noting(child, task, request, limits=None):
        asked.append((task, child._folder))
        return call(child, task, request, limits)

    monkeypatch.setattr(Child, "call", noting)
    site(catalogue())
    assert job([{"action": "red", "query": "red"}], *OPTIONS)[0] == 0
    assert {task for task, folder in asked if folder is None} == {"web.fetch_tasks:listing", "web.fetch_tasks:download"}
    assert {"video.muxing:join", "child.hashing:digest", "video.probing:probe"} <= {task for task, _ in asked}


def test_a_sound_that_is_none_costs_no_clip_and_is_told(site, job, media):
    (media / "sound.m4a").write_bytes((media / "picture_144.mp4").read_bytes())
    site(catalogue())
    status, output = job([{"action": "red", "query": "red"}], *OPTIONS)
    assert status == 0
    (span,) = read_jsonl(output / "spans.jsonl")
    assert (span["clip_has_audio"], span["clip_flags"]) == (False, ["sound_not_fetched"])
    assert by_key(output)["localvideo-a"]["facts"]["sound_missing"] == "unreadable_video"
