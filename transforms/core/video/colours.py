"""Colours of decoded pictures, as the scaler needs them and as clips are tagged.

Numbers are those of ITU-T H.273, which FFmpeg uses too.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

_RGB, _BT709, _UNSPECIFIED, _BT470BG, _SMPTE170M, _BT2020 = 0, 1, 2, 5, 6, 9
#: The matrices that the scaler knows. It refuses pictures with any other.
_KNOWN_MATRICES = frozenset((_RGB, _BT709, _UNSPECIFIED, 4, _BT470BG, _SMPTE170M, 7, _BT2020))
_SCALER_NAMES = {
    _BT709: Colorspace.ITU709,
    4: Colorspace.FCC,
    _BT470BG: Colorspace.ITU601,
    _SMPTE170M: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    _BT2020: Colorspace.BT2020,
}
_HDR_TRANSFERS = frozenset((16, 18))  # PQ and HLG
_HD_LINES = 720


@dataclass(frozen=True)
class Tags:
    """What a stream says of its colours: matrix, primaries and transfer characteristic."""

    matrix: int
    primaries: int
    transfer: int


def mend(frame: VideoFrame) -> bool:
    """Gives a frame with a matrix that the scaler does not know the likely one; returns whether it had to."""
    is_rgb = frame.format.is_rgb
    if is_hdr(frame) and frame.color_primaries == _UNSPECIFIED:
        frame.color_primaries = _BT2020
    if frame.colorspace in _KNOWN_MATRICES and (frame.colorspace != _RGB or is_rgb):
        return False
    frame.colorspace = _likely(frame)
    return True


def _likely(frame: VideoFrame) -> int:
    if frame.format.is_rgb:
        return _RGB
    if is_hdr(frame):
        return _BT2020
    return _BT709 if frame.height >= _HD_LINES else _SMPTE170M


def is_hdr(frame: VideoFrame) -> bool:
    """Tells whether a frame has a high dynamic range (PQ or HLG)."""
    return frame.color_trc in _HDR_TRANSFERS


def clip_tags(frame: VideoFrame, keep_hdr: bool) -> Tags:
    """Returns the tags of a clip that begins with a frame."""
    if is_hdr(frame) and not keep_hdr:
        return Tags(_BT709, _BT709, _BT709)
    if frame.format.is_rgb:  # players take the tag of RGB literally
        return Tags(
            _BT709, *(_BT709 if tag == _UNSPECIFIED else tag for tag in (frame.color_primaries, frame.color_trc))
        )
    return Tags(frame.colorspace, frame.color_primaries, frame.color_trc)


def are_hdr(tags: Tags) -> bool:
    """Tells whether tags are those of a high dynamic range."""
    return tags.transfer in _HDR_TRANSFERS


@lru_cache(maxsize=8)
def _tone_mapper(*_kind: object) -> VideoReformatter:
    """Returns the scaler for HDR pictures of one kind: the table that maps tones takes it seconds to make."""
    return VideoReformatter()


class Converter:
    """Scales and converts frames, to RGB or to the colours of a clip, whatever those of the frame are.

    Args:
      picture_format: FFmpeg's name of the pixel format, e.g. `rgb24`.
      tags: The colours of the clip that the frames are for; None for RGB, of the standard dynamic range.
    """

    def __init__(self, picture_format: str, tags: Tags | None = None) -> None:
        self._format, self._tags = picture_format, tags
        self._scaler = VideoReformatter()  # frame.reformat would build its tables again for every frame

    def convert(
        self, frame: VideoFrame, width: int, height: int, interpolation: Interpolation | None = None
    ) -> VideoFrame:
        """Returns a frame of the given size; it may be the given one itself."""
        wishes: dict[str, Any] = {"width": width, "height": height, "format": self._format}
        wishes |= {"interpolation": interpolation, "threads": 1}
        tags, matrix = self._tags, Colorspace.ITU709
        if tags is not None:
            wishes["dst_color_range"] = ColorRange.MPEG
            matrix = _scaler_name(tags.matrix)
            if frame.format.is_rgb or _scaler_name(frame.colorspace) != matrix:
                wishes["dst_colorspace"] = matrix
        own = frame.color_trc if is_hdr(frame) else None
        kept = tags if tags is not None and are_hdr(tags) else None
        if own == (kept and kept.transfer):
            return self._scaler.reformat(frame, **wishes)
        wishes["dst_color_trc"] = ColorTrc(kept.transfer) if kept else ColorTrc.BT709
        wishes["dst_color_primaries"] = ColorPrimaries(kept.primaries) if kept else ColorPrimaries.BT709
        wishes["dst_colorspace"] = matrix
        kind = (frame.format.name, frame.color_trc, frame.color_primaries, frame.colorspace, *wishes.values())
        return _tone_mapper(frame.width, frame.height, *kind).reformat(frame, **wishes)


def _scaler_name(matrix: int) -> Colorspace:
    """Returns the scaler's name of a matrix, and of the one that it takes where none is told."""
    return _SCALER_NAMES.get(matrix, Colorspace.ITU601)


def to_jpeg(frame: VideoFrame, tags: Tags) -> VideoFrame:
    """Returns a converted frame as JPEG wants it: BT.601 in the full range, with the standard dynamic range."""
    matrix = _SCALER_NAMES.get(tags.matrix)
    wishes: dict[str, Any] = {"format": "yuvj420p", "threads": 1}
    wishes |= {"src_color_range": ColorRange.MPEG, "dst_color_range": ColorRange.JPEG, "src_colorspace": matrix}
    scaler = VideoReformatter()
    if are_hdr(tags):
        scaler = _tone_mapper(frame.width, frame.height, frame.format.name, tags)
        wishes |= {"dst_color_trc": ColorTrc.BT709, "dst_color_primaries": ColorPrimaries.BT709}
    return scaler.reformat(frame, dst_colorspace=Colorspace.ITU601 if matrix else None, **wishes)
