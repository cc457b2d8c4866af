"""Scan low, fetch high: of the higher video only the seconds come over the network that clips are cut from."""

import shutil

import av
import numpy as np
import pytest

from tests.colours import COLOURS
from tests.conftest import read_jsonl
from tests.jobs import RATE, scenes
from tests.media_maker import make_video, stamped
from tests.web_jobs import summary_of, video

OPTIONS = (
    *("--min_score=0.5", "--clip_max_height=360", "--shots=ignore", "--top_k=1"),
    *("--download_attempts=1", "--download_timeout_seconds=30"),
)
PARTS = ("grey", 16), ("red", 3), ("grey", 14), ("green", 3), ("grey", 4)
ROWS = [{"action": "red", "query": "red"}]
#: How a site may keep the higher video: options of FFmpeg's muxer.
KINDS = {
    "index at the end": {},
    "index first": {"movflags": "faststart"},
    "fragments": {"movflags": "dash+global_sidx+frag_keyframe"},
}
WHOLE = {"fragments without an index": {"movflags": "frag_keyframe+empty_moov"}, "webm": {}}


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """A video of 40 seconds, of which a second takes about 100 kB, in several kinds of files."""
    folder = tmp_path_factory.mktemp("site")
    count, _ = scenes(*PARTS)
    colours = [COLOURS[colour] for colour, seconds in PARTS for _ in range(seconds * RATE)]
    noise = np.random.default_rng(0).integers(-40, 40, (8, 180, 640, 3))

    def picture(index):
        shown = stamped(index, 640, 360, background=colours[index])
        shown[180:] = np.clip(shown[180:] + noise[index % 8], 0, 255)
        return shown

    make_video(
        folder / "low.mp4", count, RATE, (256, 144), picture=lambda n: stamped(n, 256, 144, background=colours[n])
    )
    plain = make_video(
        folder / "plain.mp4", count, RATE, (640, 360), picture=picture, audio=True, options={"crf": "30"}
    )
    for name, options in (KINDS | WHOLE).items():
        remuxed(plain, folder / f"{name}_360.{'mkv' if name == 'webm' else 'mp4'}", "va", options)
        remuxed(plain, folder / f"silent {name}_360.mp4", "v", options)
        shutil.copy(folder / "low.mp4", folder / f"{name}_144.mp4")
        shutil.copy(folder / "low.mp4", folder / f"silent {name}_144.mp4")
    (folder / "webm_360.mkv").rename(folder / "webm_360.mp4")
    remuxed(plain, folder / "sound.m4a", "a", {"movflags": "dash+global_sidx", "frag_duration": "2000000"})
    return folder


def remuxed(source, target, kinds, options):
    with av.open(str(source)) as whole, av.open(str(target), "w", container_options=options) as output:
        streams = [stream for stream in whole.streams if stream.type[0] in kinds]
        copies = {stream.index: output.add_stream_from_template(stream) for stream in streams}
        for packet in whole.demux(streams):
            if packet.size:
                packet.stream = copies[packet.stream.index]
                output.mux(packet)


def catalogue(name, ranges="yes", sound="muxed", **fields):
    media = f"{'silent ' if sound == 'separate' else ''}{name}_{{height}}.mp4"
    return {"a": video("red", media=media, heights=[144, 360], duration=40, sound=sound, ranges=ranges, **fields)}


def shown(path):
    """Returns the pictures and the sound of a clip."""
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        sound = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.stack(pictures), np.concatenate(sound, axis=1)


@pytest.mark.parametrize(
    ("kind", "sound", "mode"),
    [
        ("index at the end", "muxed", "exact"),
        ("index first", "separate", "exact"),
        ("fragments", "separate", "exact"),
        ("index at the end", "separate", "copy"),
        ("fragments", "muxed", "copy"),
    ],
)
def test_clips_of_parts_are_those_of_the_whole(site, job, media, kind, sound, mode):
    given, clips = {}, {}
    for ranges in ("", "yes"):
        server = site(catalogue(kind, ranges, sound))
        status, output = job(ROWS, *OPTIONS, f"--cut={mode}", output=f"output{ranges}")
        assert status == 0
        (span,) = read_jsonl(output / "spans.jsonl")
        assert (span["clip_height"], span["clip_flags"]) == (360, [])
        clips[ranges] = span, *shown(output / span["clip"])
        given[ranges] = sum(bytes for path, bytes in server.given().items() if "/144/" not in path)
    (whole_span, *whole), (parts_span, *parts) = clips[""], clips["yes"]
    for name in ("clip_start_seconds", "clip_end_seconds", "clip_duration_seconds", "clip_audio_missing_seconds"):
        assert parts_span[name] == whole_span[name]
    assert mode == "copy" or parts_span["clip_sha256"] == whole_span["clip_sha256"]
    assert all(np.array_equal(*both) for both in zip(whole, parts, strict=True))
    assert given["yes"] < given[""] / 3


@pytest.mark.parametrize(
    ("kind", "ranges"),
    [
        *((kind, "yes") for kind in WHOLE),
        ("index first", ""),
        ("index at the end", "once"),
        ("fragments", "changing"),
        ("fragments", "refused"),
    ],
)
def test_what_cannot_be_had_in_parts_is_fetched_as_a_whole(site, job, kind, ranges):
    site(catalogue(kind, ranges))
    status, output = job(ROWS, *OPTIONS)
    assert status == 0
    (span,) = read_jsonl(output / "spans.jsonl")
    assert (span["clip_height"], span["clip_flags"]) == (360, [])


def test_other_spans_are_fetched_and_the_same_ones_are_not(site, job):
    server = site(catalogue("index at the end"))
    job(ROWS, *OPTIONS)
    before = server.given()
    _, output = job(ROWS, *OPTIONS)
    assert server.given() == before
    _, output = job([*ROWS, {"action": "green", "query": "red"}], *OPTIONS)
    assert server.given() != before
    assert {span["clip_height"] for span in read_jsonl(output / "spans.jsonl")} == {360}
    assert summary_of(output)["funnel"]["clips"]["written"] == 2
