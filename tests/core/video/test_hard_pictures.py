"""Colours, shapes and times of pictures that headers do not tell, or tell wrongly."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.clips import cut, onset
from tests.decoded import Decoded, probe
from tests.media_maker import make_video, read_video, stamp_of

SQUASHED = {"mode": "squash", "width": 192, "height": 108}
COLOURS = np.array([(200, 30, 30), (30, 160, 60), (40, 60, 200), (220, 200, 60)], np.uint8)


def bars(_=0):
    """Returns uint8[108, 192, 3]: four upright bars of different colours."""
    return np.repeat(np.repeat(COLOURS, 48, axis=0)[None], 108, axis=0)


def seen(path):
    """Returns the colours of the bars in a clip as a browser shows it: by the matrix of its tag."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        picture = frame.to_ndarray(format="rgb24").astype(int)
    return np.array([picture[20:90, 48 * place + 10 : 48 * place + 38].mean((0, 1)) for place in range(4)])


def tags(path):
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        return context.pix_fmt, context.colorspace, context.color_primaries, context.color_trc


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "libx264rgb", "rgb24"),
        ("a.avi", "png", "rgb24"),
        ("a.mkv", "ffv1", "bgr0"),
        ("a.webm", "libvpx-vp9", "gbrp"),
    ],
)
def test_clips_of_rgb_have_a_matrix_that_fits_them(tmp_path, name, codec, pixel_format):
    source = make_video(
        tmp_path / name, 25, codec=codec, pixel_format=pixel_format, picture=bars, bframes=0, options={"crf": "4"}
    )
    (clip,) = cut(source, tmp_path, (0, 0.8), poster=True)
    assert tags(clip["path"])[:2] == ("yuv420p", 1)
    assert np.abs(seen(clip["path"]) - COLOURS).max() < 12
    assert np.abs(seen(Path(clip["path"]).with_suffix(".jpg")) - COLOURS).max() < 12


def high_range(path, transfer):
    """Writes the bars as HDR: PQ (16) with white at 203 nits, or HLG (18)."""
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    shown = bars() / 255
    linear = np.where(shown < 0.081, shown / 4.5, ((shown + 0.099) / 1.099) ** (1 / 0.45)) @ to_2020.T
    if transfer == 16:
        power = (linear * 203 / 10_000) ** 0.1593017578125
        signal = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    else:
        scene = linear * 0.265
        log = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), log)
    luma = signal @ (0.2627, 0.6780, 0.0593)
    planes = (
        luma * 876 + 64,
        (signal[..., 2] - luma) / 1.8814 * 896 + 512,
        (signal[..., 0] - luma) / 1.4746 * 896 + 512,
    )
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 192, 108, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 9, 9, transfer, 1
        context.max_b_frames = 0
        for index in range(20):
            frame = av.VideoFrame(192, 108, "yuv420p10le")
            for plane, values in zip(frame.planes, planes, strict=True):
                step = 192 // plane.width
                rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
                rows[:, : plane.width] = np.clip(np.round(values[::step, ::step]), 0, 1023)
                plane.update(rows.tobytes())
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return str(path)


@pytest.mark.parametrize("transfer", [16, 18], ids=["PQ", "HLG"])
def test_a_high_dynamic_range_is_mapped_for_all_who_look(tmp_path, transfer):
    source = high_range(tmp_path / "a.mp4", transfer)
    scored = Decoded(source, {"frame_stride": 10}, frame_settings=SQUASHED)
    sample = np.array([scored.pictures[0][20:90, 48 * place + 10 : 48 * place + 38].mean((0, 1)) for place in range(4)])
    (clip,) = cut(source, tmp_path, (0, 0.6), poster=True)
    mapped = seen(clip["path"])
    (kept,) = cut(source, tmp_path, (0, 0.2), keep_hdr=True, poster=True)
    unmapped = np.abs(seen(source) - COLOURS).mean()
    for colours in (sample, mapped, seen(Path(kept["path"]).with_suffix(".jpg"))):
        assert np.abs(colours - COLOURS).mean() < 0.6 * unmapped  # tones are a matter of taste
        assert np.abs(colours - sample).max() < 12
    assert tags(kept["path"]) == ("yuv420p10le", 9, 9, transfer)
    with av.open(kept["path"]) as container:
        assert container.streams.video[0].codec_context.name == "hevc"


def test_a_mapped_clip_is_tagged_as_what_it_is(tmp_path):
    (clip,) = cut(high_range(tmp_path / "a.mp4", 16), tmp_path, (0, 0.6))
    assert tags(clip["path"]) == ("yuv420p", 1, 1, 1)


def standard_range(path, codec="libx264", pixel_format="yuv420p"):
    """Writes the bars as RGB, or else by the matrix of BT.601."""

    def tag(_, stream):
        stream.codec_context.colorspace = 0 if codec == "libx264rgb" else 6

    options = {"crf": "4"}
    return make_video(
        path, 20, codec=codec, pixel_format=pixel_format, picture=bars, bframes=0, options=options, configure=tag
    )


def joined(folder, *parts):
    """Writes one stream of H.264 streams that follow each other."""
    raw, path = folder / "joined.h264", folder / "joined.mkv"
    raw.write_bytes(b"".join(Path(part).read_bytes() for part in parts))
    with av.open(str(raw)) as original, av.open(str(path), "w") as output:
        target = output.add_stream_from_template(original.streams.video[0])
        for index, packet in enumerate(packet for packet in original.demux() if packet.size):
            packet.pts = packet.dts = index
            packet.stream, packet.time_base = target, Fraction(1, 25)
            output.mux(packet)
    return str(path)


@pytest.mark.parametrize("order", [1, -1], ids=["there", "back"])
@pytest.mark.parametrize("keep_hdr", [False, True], ids=["mapped", "kept"])
@pytest.mark.parametrize("kind", ["RGB", "PQ", "HLG"])
def test_colours_that_change_within_a_clip_are_converted_to_its_own(tmp_path, kind, keep_hdr, order):
    """A clip has one matrix and one dynamic range: those with which it begins."""
    if kind == "RGB":
        other = standard_range(tmp_path / "b.h264", "libx264rgb", "rgb24")
    else:
        other = high_range(tmp_path / "b.h264", {"PQ": 16, "HLG": 18}[kind])
    parts = [standard_range(tmp_path / "a.h264"), other][::order]
    (alone,) = cut(parts[1], tmp_path, (0, 0.4))
    expected = seen(alone["path"])
    (clip,) = cut(joined(tmp_path, *parts), tmp_path, (0.4, 1.2), keep_hdr=keep_hdr, poster=True)
    assert clip["frames"] == 20
    assert np.abs(seen(Path(clip["path"]).with_suffix(".jpg")) - expected).max() < 12  # its middle is after the change


@pytest.mark.parametrize("matrix", [0, 8, 10, 11, 12, 13, 14])
def test_a_matrix_that_the_scaler_does_not_know_is_guessed_and_told(tmp_path, matrix):
    plain = make_video(tmp_path / "plain.mp4", 25, picture=bars, options={"crf": "4"})

    def tag(_, stream):
        stream.codec_context.colorspace = matrix

    source = make_video(tmp_path / "a.mp4", 25, picture=bars, options={"crf": "4"}, configure=tag)
    with av.open(source) as container:
        assert container.streams.video[0].codec_context.colorspace == matrix
    expected, decoded = (Decoded(path, frame_settings=SQUASHED) for path in (plain, source))
    assert len(decoded.pictures) == 25
    assert decoded.report["flags"] == ["colours_guessed"]
    assert np.abs(decoded.pictures[3].astype(int) - expected.pictures[3]).max() <= 2
    (clip,) = cut(source, tmp_path, (0, 0.8), poster=True)
    assert np.abs(seen(clip["path"]) - COLOURS).max() < 12
    assert clip["poster"]


def shape_change(path):
    """Writes a broadcast: 4 s in 4:3, then 4 s in 16:9, all of 180x144 samples; a white disc in the middle is round."""

    def part(name, aspect, start):
        high, wide = np.mgrid[0:144, 0:180]
        disc = ((wide - 90) * aspect) ** 2 + (high - 72) ** 2 < 50**2
        picture = np.where(disc[..., None], 235, 40).astype(np.uint8).repeat(3, axis=2)

        def configure(_, stream):
            stream.codec_context.sample_aspect_ratio = Fraction(aspect).limit_denominator(100)

        return make_video(
            path.with_name(name),
            100,
            size=(180, 144),
            picture=lambda _: picture,
            times=[start + index / 25 for index in range(100)],
            bframes=0,
            configure=configure,
        )

    first, second = part("first.ts", 16 / 15, 1), part("second.ts", 64 / 45, 5)
    path.write_bytes(Path(first).read_bytes() + Path(second).read_bytes())
    return str(path)


def roundness(picture):
    """Returns width over height of the white disc."""
    white = picture[..., 0] > 128
    return white.any(axis=0).sum() / white.any(axis=1).sum()


def test_the_shape_of_samples_is_that_of_the_frame(tmp_path):
    path = shape_change(tmp_path / "a.ts")
    before, over, behind = cut(path, tmp_path, (1, 3), (3, 5), (5, 7))
    assert (before["width"], before["height"]) == (192, 144)
    assert (behind["width"], behind["height"]) == (256, 144)
    for clip in (before, over, behind):
        for _, picture in read_video(clip["path"])[::10]:
            assert roundness(picture) == pytest.approx(1.0, abs=0.04)
    square = {"mode": "crop", "width": 96, "height": 96, "shorter_side": 96}
    scored = Decoded(path, {"frame_stride": 20}, frame_settings=square)
    assert [roundness(picture) for picture in scored.pictures] == pytest.approx([1.0] * 10, abs=0.06)


def test_what_matroska_cuts_off_is_cut_off(tmp_path):
    """Where the file tells its colours, in the same place and with as many bytes, it now tells what to cut off."""

    def tag(_, stream):
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 1, 1, 1, 1

    path = Path(make_video(tmp_path / "a.mkv", 50, configure=tag))
    content = path.read_bytes()
    at = content.index(b"\x55\xb0")
    size = content[at + 2] & 0x7F
    crop = b"\x54\xcc\x82\x00\x20" + b"\x54\xdd\x81\x10"  # PixelCropLeft 32, PixelCropRight 16
    filler = b"\xec" + bytes([0x80 | size + 3 - len(crop) - 2])
    path.write_bytes(content[:at] + (crop + filler).ljust(size + 3, b"\0") + content[at + size + 3 :])
    facts = probe(path)
    assert (facts["width"], facts["height"]) == (144, 108)
    (clip,) = cut(path, tmp_path, (0.4, 1))
    assert (clip["width"], clip["height"]) == (144, 108)
    (_, cropped), *_ = read_video(clip["path"])
    whole = make_video(tmp_path / "whole.mp4", 50)
    (other,) = cut(whole, tmp_path, (0.4, 1))
    (_, expected), *_ = read_video(other["path"])
    assert stamp_of(expected) == 10
    assert np.abs(cropped.astype(int) - expected[:, 32:176]).mean() < 3


def slides(path, times, last_seconds=None):
    """Writes a recording with few frames and sound: the tone begins at 29 s."""
    make_video(path, len(times), times=times, audio=True, tone_at=29.0, bframes=0)
    return str(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_clip_covers_its_span_where_frames_are_rare(tmp_path, name):
    """One frame in two seconds: the one on screen at the start is shown from there, with the sound."""
    source = slides(tmp_path / name, [2.0 * index for index in range(25)])
    (clip,) = cut(source, tmp_path, (29.5, 38.5))
    assert (clip["start_seconds"], clip["end_seconds"]) == pytest.approx((29.5, 38.5), abs=0.002)
    assert clip["duration_seconds"] == pytest.approx(9.0, abs=0.05)
    assert [stamp_of(picture) for _, picture in read_video(clip["path"])] == [14, 15, 16, 17, 18, 19]
    assert [time for time, _ in read_video(clip["path"])] == pytest.approx([0, 0.5, 2.5, 4.5, 6.5, 8.5], abs=0.002)
    assert (clip["audio_missing_seconds"], clip["flags"]) == (0.0, [])
    assert onset(clip["path"])[0] == pytest.approx(0.0, abs=0.03)


def test_a_last_frame_that_stays_makes_no_clip_longer(tmp_path):
    """The average duration of frames says nothing of the last ones."""
    times = [*(index / 25 for index in range(100)), 64.0]
    source = slides(tmp_path / "a.mp4", times)
    (clip,) = cut(source, tmp_path, (1, 7))
    assert clip["duration_seconds"] == pytest.approx(6.0, abs=0.05)
    assert (clip["start_seconds"], clip["end_seconds"]) == pytest.approx((1, 7), abs=0.002)
    with av.open(clip["path"]) as container:
        sound = container.streams.audio[0]
        assert float(sound.duration * sound.time_base) == pytest.approx(6.0, abs=0.05)
