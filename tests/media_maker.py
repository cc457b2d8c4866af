"""Videos made for tests: every frame carries its number, so that what was decoded or cut can be named exactly."""

import contextlib
import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 12
#: Encoder options that make VP8 and VP9 quick.
QUICK_VPX = {"deadline": "realtime", "cpu-used": "8"}
#: Display matrices for `turn`: size of 192 x 108 as shown, and where the top left corner is shown.
TURNS = {
    "0": ((1, 0, 0, 1), (192, 108), "top left"),
    "90": ((0, 1, -1, 0), (108, 192), "top right"),
    "180": ((-1, 0, 0, -1), (192, 108), "bottom right"),
    "270": ((0, -1, 1, 0), (108, 192), "bottom left"),
    "mirrored": ((-1, 0, 0, 1), (192, 108), "top right"),
    "upside down": ((1, 0, 0, -1), (192, 108), "bottom left"),
}


def stamped(index, width=192, height=108, background=(90, 90, 90)):
    """Returns uint8[h, w, 3]: `index` as black and white blocks over the picture's upper half, background below."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = background
    block = width // BITS
    for bit in range(BITS):
        picture[: height // 2, bit * block : (bit + 1) * block] = 235 if index >> bit & 1 else 16
    return picture


def stamp_of(picture):
    """Reads the number back from a decoded or rescaled frame."""
    height, width = picture.shape[:2]
    block = width / BITS
    row = picture[height // 8 : height * 3 // 8].mean(axis=(0, 2))
    bits = [row[int((bit + 0.25) * block) : int((bit + 0.75) * block)].mean() > 128 for bit in range(BITS)]
    return sum(1 << bit for bit, is_set in enumerate(bits) if is_set)


def corner(index, width=192, height=108):
    """Returns uint8[h, w, 3]: grey, with a red top left corner."""
    picture = np.full((height, width, 3), 90, np.uint8)
    picture[: height // 3, : width // 3] = (200, 30, 30)
    return picture


def red_corners(picture):
    """Returns the names of the corners of a picture that are red."""
    picture = picture.astype(int)
    red = picture[..., 0] > picture[..., 1] + 60
    high, wide = red.shape[0] // 4, red.shape[1] // 4
    rows = {"top": slice(None, high), "bottom": slice(-high, None)}
    columns = {"left": slice(None, wide), "right": slice(-wide, None)}
    return [f"{row} {column}" for row in rows for column in columns if red[rows[row], columns[column]].mean() > 0.9]


def shape_pixels(width, height):
    """Returns a `configure` of make_video: the pixels are shown in this ratio of width and height."""

    def configure(_, stream):
        stream.codec_context.sample_aspect_ratio = Fraction(width, height)

    return configure


@contextlib.contextmanager
def usual_priority():
    """SVT-AV1 gives the thread that opens it real-time priority where it may, which all that this starts inherits."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


@usual_priority()
def make_video(
    path,
    frames=50,
    rate=25,
    size=(192, 108),
    codec="libx264",
    container=None,
    audio=False,
    times=None,
    picture=None,
    gop=12,
    bframes=2,
    options=None,
    pixel_format="yuv420p",
    tone_at=0.0,
    audio_codec="aac",
    configure=None,
):
    """Writes a video of stamped frames and returns its path as text.

    times: presentation time in seconds of each frame (default index / rate). picture: function of the index that
    returns uint8[h, w, 3]. audio: a 440 Hz tone for as long as the picture, silent before tone_at seconds. configure:
    called with the container and the video stream before the first frame.
    """
    width, height = size
    draw = picture or (lambda index: stamped(index, width, height))
    with av.open(str(path), "w", format=container) as output:
        settings = {"crf": "16", "preset": "veryfast"} if codec == "libx264" else {}
        stream = output.add_stream(codec, rate=rate, options={**settings, **(options or {})})
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = bframes
        base = Fraction(1, 90_000) if times is not None else Fraction(1, rate)
        if times is not None:
            stream.codec_context.time_base = base
        sound = output.add_stream(audio_codec, rate=48_000, layout="mono") if audio else None
        if sound is not None:
            sound.bit_rate = 96_000
        if codec != "libx264" and codec != "mpeg4":
            stream.bit_rate = 2_000_000
        if configure is not None:
            configure(output, stream)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(index), format="rgb24").reformat(format=pixel_format)
            frame.pts = round(times[index] / base) if times is not None else index
            frame.time_base = base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None:
            start, last = (times[0], times[-1]) if times is not None else (0, (frames - 1) / rate)
            seconds = np.arange(round((last - start + 1 / rate) * 48_000)) / 48_000
            tone = 0.3 * np.sin(2 * np.pi * 440 * seconds) * (seconds >= tone_at)
            piece = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = 48_000, round(start * 48_000), Fraction(1, 48_000)
            for part in av.AudioResampler(format=sound.codec_context.format, layout="mono", rate=48_000).resample(
                piece
            ):
                output.mux(sound.encode(part))
            output.mux(sound.encode(None))
    return str(path)


def make_coloured(path, colour, colour_space, colour_range, pixel_format):
    """Writes ten frames of one RGB colour, kept and told in FFmpeg's numbers of a colour space and range."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "8"})
        stream.width, stream.height, stream.pix_fmt = 192, 108, pixel_format
        stream.codec_context.color_range, stream.codec_context.colorspace = colour_range, colour_space
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((108, 192, 3), colour, np.uint8), format="rgb24")
            frame = frame.reformat(format=pixel_format, dst_colorspace=colour_space, dst_color_range=colour_range)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return str(path)


def make_sound(path, seconds=2, cover=False):
    """Writes a file of sound alone, with a cover picture where wanted, and returns its path as text."""
    with av.open(str(path), "w") as output:
        sound = output.add_stream("aac", rate=48_000, layout="mono")
        picture = output.add_stream("mjpeg", rate=1) if cover else None
        if picture is not None:
            picture.width, picture.height, picture.pix_fmt = 64, 64, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        silence = av.AudioFrame.from_ndarray(np.zeros((1, seconds * 48_000), np.float32), format="fltp", layout="mono")
        silence.sample_rate, silence.pts, silence.time_base = 48_000, 0, Fraction(1, 48_000)
        output.mux([*sound.encode(silence), *sound.encode(None)])
        if picture is not None:
            art = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 200, np.uint8), format="rgb24")
            art = art.reformat(format="yuvj420p")
            art.pts, art.time_base = 0, Fraction(1)
            output.mux([*picture.encode(art), *picture.encode(None)])
    return str(path)


def make_resized(path, frames=10, sizes=((192, 108), (96, 54)), rate=25):
    """Writes one H.264 stream whose pictures change size: `frames` of each size, numbered through."""
    base = Fraction(1, rate)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *sizes[0], "yuv420p"
        for part, (width, height) in enumerate(sizes):
            encoder = av.CodecContext.create("libx264", "w") if part else stream.codec_context
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
            encoder.time_base, encoder.framerate, encoder.max_b_frames = base, Fraction(rate), 0
            packets = []
            for index in range(part * frames, (part + 1) * frames):
                frame = av.VideoFrame.from_ndarray(stamped(index, width, height), format="rgb24")
                frame = frame.reformat(format="yuv420p")
                frame.pts, frame.time_base = index, base
                packets += encoder.encode(frame)
            for packet in packets + encoder.encode(None):
                packet.stream = stream
                output.mux(packet)
    return str(path)


def remux(source, target, container=None, options=None, damage=None):
    """Copies the packets of a file into another container, which may be an object with a `write` alone.

    damage: kind of stream whose packets become noise.
    """
    noise = np.random.default_rng(0)
    place = target if hasattr(target, "write") else str(target)
    with av.open(str(source)) as original, av.open(place, "w", format=container, options=options) as output:
        copies = {stream.index: output.add_stream_from_template(stream) for stream in original.streams}
        for packet in original.demux():
            if not packet.size:  # the end of a stream
                continue
            copy = copies[packet.stream.index]
            if packet.stream.type == damage:
                spoilt = av.Packet(noise.bytes(packet.size))
                spoilt.pts, spoilt.dts, spoilt.duration = packet.pts, packet.dts, packet.duration
                spoilt.time_base = packet.time_base
                packet = spoilt
            packet.stream = copy
            output.mux(packet)
    return str(target)


def turn(path, matrix):
    """Sets the display matrix (a, b, c, d) of a one-track mp4 in place: (x, y) is shown at (ax + cy, bx + dy)."""
    content = bytearray(Path(path).read_bytes())
    place = content.index(b"tkhd") + 44
    a, b, c, d = (number << 16 for number in matrix)
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    Path(path).write_bytes(content)
    return str(path)


def patch(source, target, old, new):
    """Copies a file with every `old` in it replaced by `new`, of the same length."""
    content = Path(source).read_bytes()
    assert old in content
    assert len(old) == len(new)
    Path(target).write_bytes(content.replace(old, new))
    return str(target)


def cut_short(source, target, part):
    """Copies the first part (0..1) of a file's bytes."""
    content = Path(source).read_bytes()
    Path(target).write_bytes(content[: round(len(content) * part)])
    return str(target)


def read_video(path):
    """Returns a list of (time in seconds, uint8[h, w, 3]) of all frames of a file, in presentation order."""
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
