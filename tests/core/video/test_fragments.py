"""Fragments of an MP4 whose boxes are damaged: FFmpeg says nothing of them, and what is missing is told."""

import random
import struct

import av
import pytest

from clipscout.transforms.core.video import fragments
from tests.core.video.test_gaps import decoded
from tests.media_maker import make_video

WAYS = ["", "+global_sidx", "+dash", "+frag_every_frame"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("plain") / "plain.mp4", 120, rate=10, gop=10)


def in_fragments(plain, path, more=""):
    """Writes a video in fragments of a second."""
    flags = f"frag_keyframe+empty_moov+default_base_moof{more}"
    with av.open(plain) as source, av.open(str(path), "w", format="mp4", options={"movflags": flags}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path


def moofs(content):
    """Returns (place, size) of each fragment's boxes."""
    place, found = 0, []
    while place < len(content):
        size, kind = struct.unpack(">I4s", content[place : place + 8])
        found += [(place, size)] if kind == b"moof" else []
        place += size
    return found


HARM = {
    "its kind": lambda size: b"".join([struct.pack(">I", size), b"xxxx"]),
    "no size": lambda size: bytes(4),
    "a huge size": lambda size: struct.pack(">I", 2**31 - 1),
    "a small size": lambda size: struct.pack(">I", size - 30),
    "all of it": bytes,
    "its content": lambda size: struct.pack(">I", size) + b"moof" + random.Random(0).randbytes(size - 8),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("harm", HARM)
def test_what_a_broken_fragment_hides_is_told(plain, tmp_path, way, harm):
    path = in_fragments(plain, tmp_path / "a.mp4", way)
    _, report = decoded(path)
    assert (report["flags"], report["lost_seconds"], report["frames_decoded"]) == ([], 0, 120)
    content = bytearray(path.read_bytes())
    places = moofs(content)
    place, size = places[len(places) // 2]
    changed = HARM[harm](size)
    content[place : place + len(changed)] = changed
    path.write_bytes(content)
    _, report = decoded(path)
    assert "damaged" in report["flags"]
    last = 12 / len(places)  # of the last fragment the start alone is known
    assert report["frames_decoded"] / 10 + report["lost_seconds"] == pytest.approx(12, abs=last + 0.5)


def test_files_that_are_whole_or_have_no_fragments_are_not_doubted(plain, tmp_path):
    assert fragments.look(plain, 1) is None
    assert fragments.look(str(in_fragments(plain, tmp_path / "a.mp4")), 1) == (False, None)
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert fragments.look(str(tmp_path / "empty.mp4"), 1) is None
    make_video(tmp_path / "a.mkv", 20)
    assert fragments.look(str(tmp_path / "a.mkv"), 1) is None


def test_a_segment_tells_of_the_gap_within_it(plain, tmp_path):
    path = in_fragments(plain, tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    place, _ = moofs(content)[3]
    content[place + 4 : place + 8] = b"xxxx"
    path.write_bytes(content)
    lost = [
        decoded(path, start_seconds=start, end_seconds=end)[1]["lost_seconds"]
        for start, end in ((0, 6), (6, 9), (9, None))
    ]
    assert lost == pytest.approx([1, 0, 0], abs=0.11)


def test_whatever_is_damaged_nothing_but_an_answer_comes_back(plain, tmp_path):
    whole = in_fragments(plain, tmp_path / "a.mp4").read_bytes()
    chance = random.Random(4)
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 40)):
            at = chance.randrange(8, len(content))
            content[at : at + chance.randint(1, 8)] = chance.randbytes(chance.randint(0, 8))
        (tmp_path / "b.mp4").write_bytes(content)
        found = fragments.look(str(tmp_path / "b.mp4"), 1)
        assert found is None or isinstance(found.broken, bool)
