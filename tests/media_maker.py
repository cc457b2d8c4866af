"""Videos made for tests: every frame carries its number, so that what was decoded or cut can be named exactly."""

from fractions import Fraction

import av
import numpy as np

BITS = 12


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
):
    """Writes a video of stamped frames and returns its path as text.

    times: presentation time in seconds of each frame (default index / rate). picture: function of the index that returns
    uint8[h, w, 3]. audio: a 440 Hz tone for as long as the picture.
    """
    width, height = size
    draw = picture or (lambda index: stamped(index, width, height))
    with av.open(str(path), "w", format=container) as output:
        settings = {"crf": "16", "preset": "veryfast"} if codec == "libx264" else {}
        stream = output.add_stream(codec, rate=rate, options={**settings, **(options or {})})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = bframes
        base = Fraction(1, 90_000) if times is not None else Fraction(1, rate)
        if times is not None:
            stream.codec_context.time_base = base
        sound = output.add_stream("aac", rate=48_000, layout="mono") if audio else None
        if codec != "libx264" and codec != "mpeg4":
            stream.bit_rate = 2_000_000
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(index), format="rgb24").reformat(format="yuv420p")
            frame.pts = round(times[index] / base) if times is not None else index
            frame.time_base = base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None:
            seconds = (times[-1] if times is not None else (frames - 1) / rate) + 1 / rate
            tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 48_000)) / 48_000)
            piece = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = 48_000, 0, Fraction(1, 48_000)
            output.mux(sound.encode(piece))
            output.mux(sound.encode(None))
    return str(path)


def read_video(path):
    """Returns a list of (time in seconds, uint8[h, w, 3]) of all frames of a file, in presentation order."""
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
