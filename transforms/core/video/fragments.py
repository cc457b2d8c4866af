"""Fragments of an MP4 that damage hides: FFmpeg skips a box that it does not know, and ends at a size that is wrong.

Looks at the boxes alone (ISO/IEC 14496-12, sections 4.2 and 8.8); FFmpeg, which reads the rest, says nothing of them.
"""

import mmap
import struct
from typing import NamedTuple

#: What may lie outermost in a fragmented file.
_OUTERMOST = {
    *(b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"sidx", b"ssix", b"emsg", b"prft", b"mfra", b"pdin"),
    *(b"free", b"skip", b"wide", b"uuid", b"meta", b"udta"),
}
#: How a fragment's boxes begin, by the box that they lie in.
_FIRST = {b"moof": b"mfhd", b"traf": b"tfhd"}
_MOST_BOXES = 1_000_000


class Hidden(NamedTuple):
    """What a walk from box to box misses.

    Attributes:
      broken: Whether a box is none, or a fragment is not made as fragments are.
      last_start: When the file's last fragment of a track starts, in its ticks; None where it is not known.
    """

    broken: bool
    last_start: int | None


def look(path: str, track: int) -> Hidden | None:
    """Looks for damage of the boxes of a fragmented MP4; returns None for any other file.

    Args:
      path: A local file.
      track: The number of the picture's track.
    """
    with open(path, "rb") as file:
        if file.read(8)[4:] not in (b"ftyp", b"styp", b"moov"):
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            place, fragments = 0, 0
            for _ in range(_MOST_BOXES):
                kind, begin, end = _box(data, place, len(data))
                fragments += kind == b"moof"
                if end == 0 or (fragments and kind not in _OUTERMOST) or not _is_whole(data, kind, begin, end):
                    break
                place = end
                if place == len(data):
                    return Hidden(False, None) if fragments else None
            # no file of fragments where none was found before the damage, nor one is found behind it
            last = _last_fragment(data)
            return Hidden(True, _start_of(data, last, track)) if last is not None else None


def _box(data: mmap.mmap, place: int, limit: int) -> tuple[bytes, int, int]:
    """Returns a box's kind, where its content begins, and where it ends; the end is 0 where there is no box."""
    header = data[place : place + 16]
    if len(header) < 8:
        return b"", 0, 0
    size, kind = struct.unpack(">I4s", header[:8])
    begin = place + 8
    if size == 1 and len(header) == 16:
        size, begin = struct.unpack(">Q", header[8:])[0], place + 16
    elif size == 0 and kind == b"mdat":  # up to the end of the file
        size = limit - place
    end = place + size
    return (kind, begin, end) if begin <= end <= limit else (kind, begin, 0)


def _is_whole(data: mmap.mmap, kind: bytes, begin: int, end: int) -> bool:
    """Tells whether the boxes in a box fill it, in a fragment down to those of its tracks."""
    if kind not in _FIRST:
        return True
    first = True
    while begin < end:
        inner, inside, stop = _box(data, begin, end)
        if stop == 0 or (first and inner != _FIRST[kind]) or not _is_whole(data, inner, inside, stop):
            return False
        begin, first = stop, False
    return not first


def _last_fragment(data: mmap.mmap) -> int | None:
    """Returns where the last box lies that is a fragment as they are made."""
    at = data.rfind(b"moof")
    while at >= 4:
        kind, begin, end = _box(data, at - 4, len(data))
        if end and _is_whole(data, kind, begin, end):
            return at - 4
        at = data.rfind(b"moof", 0, at)
    return None


def _start_of(data: mmap.mmap, fragment: int, track: int) -> int | None:
    """Returns the decode time at which a fragment of a track starts."""
    _, begin, end = _box(data, fragment, len(data))
    while begin < end:
        kind, inside, stop = _box(data, begin, end)
        if kind == b"traf":
            boxes = {}
            while inside < stop:
                inner, content, inside = _box(data, inside, stop)
                boxes[inner] = data[content:inside]
            if struct.unpack_from(">I", boxes[b"tfhd"].ljust(8, b"\0"), 4)[0] == track and b"tfdt" in boxes:
                told = boxes[b"tfdt"].ljust(12, b"\0")
                return struct.unpack_from(">Q" if told[0] else ">I", told, 4)[0]
        begin = stop
    return None
