"""The same picture is known in another container, and another one is not taken for it."""

import av
import pytest
from av.bitstream import BitStreamFilterContext

from clipscout.transforms.core.video.probing import probe
from tests.media_maker import cut_short, make_video, remux, stamped, turn


def digest_of(path):
    *_, (facts, _) = probe({"path": str(path)})
    return facts["picture"]


def in_avi(source, target):
    """Remuxes H.264 as AVI wants it."""
    with av.open(str(source)) as have, av.open(str(target), "w") as output:
        stream = have.streams.video[0]
        copy = output.add_stream_from_template(stream)
        to_start_codes = BitStreamFilterContext("h264_mp4toannexb", stream, copy)
        for packet in have.demux(stream):
            for changed in to_start_codes.filter(packet if packet.dts is not None else None):
                changed.stream = copy
                output.mux(changed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


@pytest.mark.parametrize(
    ("codec", "endings"),
    [
        ("libx264", ("mp4", "mkv", "mov", "ts", "flv")),
        ("libx265", ("mp4", "mkv", "mov", "ts")),
        ("mpeg4", ("mp4", "mkv", "mov")),
        ("mpeg2video", ("ts", "mkv")),
        ("libvpx-vp9", ("webm", "mkv", "mp4")),
    ],
)
def test_a_picture_is_the_same_in_every_container(folder, codec, endings):
    source = make_video(folder / f"{codec}.{endings[0]}", 60, codec=codec)
    found = {digest_of(source)}
    for ending in endings[1:]:
        copy = folder / f"{codec}_copy.{ending}"
        remux(source, copy, "mpegts" if ending == "ts" else None)
        found.add(digest_of(copy))
    assert len(found) == 1
    assert found != {""}


@pytest.mark.parametrize("bframes", [0, 2])
def test_a_picture_is_the_same_in_avi(folder, bframes):
    source = make_video(folder / f"b{bframes}.mp4", 60, bframes=bframes)
    in_avi(source, folder / f"b{bframes}.avi")
    assert digest_of(folder / f"b{bframes}.avi") == digest_of(source) != ""


def test_sound_and_titles_make_no_other_picture(folder):
    source = make_video(folder / "plain.mp4", 60)
    with_sound = make_video(folder / "sound.mp4", 60, audio=True)
    assert digest_of(source) == digest_of(with_sound)


def test_other_pictures_differ(folder):
    source = make_video(folder / "one.mp4", 60)
    others = [
        make_video(folder / "fewer.mp4", 59),
        make_video(folder / "slower.mp4", 60, rate=24),
        make_video(folder / "worse.mp4", 60, options={"crf": "17"}),
        make_video(folder / "grey.mp4", 60, picture=lambda index: stamped(index, background=(90, 90, 120))),
    ]
    turned = str(folder / "turned.mp4")
    remux(source, turned)
    turn(turned, (0, 1, -1, 0))
    found = [digest_of(path) for path in (source, *others, turned)]
    assert "" not in found
    assert len({*found}) == 6


def test_a_file_that_lacks_a_part_is_known_by_its_bytes_alone(folder):
    source = make_video(folder / "whole.mkv", 200)
    cut_short(source, str(folder / "short.mkv"), 0.5)
    assert digest_of(folder / "short.mkv") == ""
    assert digest_of(source)
