"""Parts of an MP4 over HTTP: what is not picture or sound, and the stretches of it that are wanted.

Imported in a child only. Nothing here looks deeper into a file than its outermost boxes and its segment index
(ISO/IEC 14496-12, sections 4.2 and 8.16.3): codecs and sample tables are read by a child that has no network.
"""

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any, NamedTuple

from clipscout.transforms.core.child.protocol import TaskError
from clipscout.transforms.core.intervals import joined

#: One request brings no more, so that its end is seen in time.
_MOST_BYTES = 8 << 20
_PEEK_BYTES = 64 << 10
_MOST_BOXES = 200
_MOST_HEAD_BYTES = 64 << 20
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

#: Stretches of a video: [start, end] in seconds.
Seconds = Iterable[Sequence[float]]
Range = tuple[int, int]


class NotInPartsError(Exception):
    """The file has to be fetched as a whole: its server gives no ranges of it, or it has no index of its own."""


class RemoteFile:
    """A file that its server gives in ranges.

    Args:
      open_range: Sends a request with these headers; returns an answer with `status`, `get_header`, `read`, `close`.
      most_bytes: The largest file that is taken.

    Attributes:
      size: Its bytes; 0 before the first range came.
    """

    def __init__(self, open_range: Callable[[dict[str, str]], Any], most_bytes: int) -> None:
        self._open, self._most = open_range, most_bytes
        self.size = 0
        self._version: tuple[str | None, ...] = ()

    def read(self, start: int, end: int) -> bytes:
        """Returns the bytes from `start` up to `end`, fewer where the file ends before.

        Raises:
          NotInPartsError: The server gives no ranges, ends one early, or gives one of another file than before.
          TaskError: `too_large`, or what the server says instead.
        """
        answer = self._open({"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"})
        try:
            told = _CONTENT_RANGE.fullmatch(answer.get_header("Content-Range") or "")
            if answer.status != 206 or told is None or int(told[1]) != start:
                raise NotInPartsError
            version = (told[3], answer.get_header("ETag"), answer.get_header("Last-Modified"))
            if version != (self._version or version):
                raise NotInPartsError
            self.size, self._version = int(told[3]), version
            if self.size > self._most:
                raise TaskError("too_large", f"{self.size} bytes, {self._most} allowed")
            return self._body(answer, min(end, self.size) - start)
        finally:
            answer.close()

    def _body(self, answer: Any, count: int) -> bytes:
        parts: list[bytes] = []
        while count > 0 and (part := answer.read(count)):
            parts.append(part)
            count -= len(part)
        if count > 0:
            raise NotInPartsError
        return b"".join(parts)

    def copy(self, ranges: Iterable[Range], target: IO[bytes], *, in_place: bool) -> None:
        """Writes ranges to where they lie in the file, or one behind the other; errors as of `read`."""
        for start, end in ranges:
            for place in range(start, end, _MOST_BYTES):
                if in_place:
                    target.seek(place)
                target.write(self.read(place, min(place + _MOST_BYTES, end)))


class Box(NamedTuple):
    """An outermost box of an MP4: its kind, where it lies, and the bytes of its header."""

    kind: bytes
    start: int
    end: int
    header: int


class Outline(NamedTuple):
    """What lies in an MP4 before its first fragment, or around its samples.

    Attributes:
      boxes: Its outermost boxes; of a fragmented file those before the first fragment.
      fragments: Of a fragmented file: (start in seconds, end in seconds, first byte, byte behind it) by its index.
    """

    boxes: list[Box]
    fragments: list[tuple[float, float, int, int]]


def outline(file: RemoteFile) -> Outline:
    """Reads the outermost boxes of an MP4.

    Raises:
      NotInPartsError: It is none, or no index says where its fragments are; see also `RemoteFile.read`.
      TaskError: See `RemoteFile.read`.
    """
    boxes: list[Box] = []
    index: list[tuple[float, float, int, int]] = []
    fragments: list[tuple[float, float, int, int]] = []
    seen, seen_at, place = file.read(0, _PEEK_BYTES), 0, 0
    while place < file.size and len(boxes) < _MOST_BOXES:
        if not seen_at <= place <= seen_at + len(seen) - 16:
            seen, seen_at = file.read(place, place + _PEEK_BYTES), place
        box = _box(seen[place - seen_at : place - seen_at + 16], place, file.size)
        if not boxes and box.kind != b"ftyp":
            raise NotInPartsError
        if box.kind == b"sidx" and not index:
            index = _fragments(_inside(file, box), box.end)
        if box.kind == b"moof":
            if not index:
                raise NotInPartsError
            fragments = index
            break
        boxes.append(box)
        place = box.end
    if [box.kind for box in boxes].count(b"moov") != 1 or sum(map(_kept_bytes, boxes)) > _MOST_HEAD_BYTES:
        raise NotInPartsError
    return Outline(boxes, fragments)


def _box(header: bytes, place: int, size: int) -> Box:
    if len(header) < 8:
        raise NotInPartsError
    length, kind = struct.unpack(">I4s", header[:8])
    long = length == 1 and len(header) == 16
    length = struct.unpack(">Q", header[8:])[0] if long else length or size - place
    if length < (16 if long else 8) or place + length > size:
        raise NotInPartsError
    return Box(kind, place, place + length, 16 if long else 8)


def _inside(file: RemoteFile, box: Box) -> bytes:
    if box.end - box.start > _MOST_HEAD_BYTES:
        raise NotInPartsError
    return file.read(box.start + box.header, box.end)


def _fragments(index: bytes, behind: int) -> list[tuple[float, float, int, int]]:
    """Reads a segment index, which counts bytes from its own end."""
    try:
        version, scale = index[0], struct.unpack_from(">I", index, 8)[0]
        first_time, first_byte = struct.unpack_from(">QQ" if version else ">II", index, 12)
        at = 28 if version else 20
        count = struct.unpack_from(">H", index, at + 2)[0]
        entries = [struct.unpack_from(">III", index, at + 4 + 12 * number) for number in range(count)]
    except (struct.error, IndexError):
        raise NotInPartsError from None
    if not scale or any(entry[0] >> 31 for entry in entries):  # an index of indexes
        raise NotInPartsError
    time, place, found = first_time, behind + first_byte, []
    for length, duration, _ in entries:
        found.append(((time - first_time) / scale, (time - first_time + duration) / scale, place, place + length))
        time, place = time + duration, place + length
    return found


def _kept_bytes(box: Box) -> int:
    """Returns how much of a box is fetched whatever is wanted: of samples, and of what is free, the header alone."""
    return box.header if box.kind in (b"mdat", b"free", b"skip") else box.end - box.start


def head_ranges(told: Outline) -> list[Range]:
    """Returns the bytes of an MP4 that is not fragmented without which no sample can be found."""
    return [(box.start, box.start + _kept_bytes(box)) for box in told.boxes]


def fragment_ranges(told: Outline, seconds: Seconds) -> list[Range]:
    """Returns the bytes of a fragmented MP4 that hold stretches of it: a file of its own, one after the other.

    The first fragment is among them, as times count from it, and the one behind a stretch, since a copied clip ends
    before a key frame.
    """
    wanted = {0}
    for start, end in seconds:
        within = [number for number, (begin, finish, *_) in enumerate(told.fragments) if begin < end and finish > start]
        wanted.update(within, [within[-1] + 1] if within else [])
    head = [(box.start, box.end) for box in told.boxes if box.kind in (b"ftyp", b"moov")]
    return head + joined(told.fragments[number][2:] for number in wanted if number < len(told.fragments))
