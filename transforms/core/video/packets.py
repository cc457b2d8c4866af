"""What a file's picture is made of, whatever its container: a digest of its packets, by which remuxed files are known.

Containers keep the same coded picture in different forms: MP4 and Matroska write the length before each unit of H.264
and HEVC, MPEG-TS a start code, with parameter sets, messages and delimiters in between. So units are hashed, not
packets, and without those. Matroska rounds times to milliseconds, and AVI stores none: so only how long the picture
lasts counts, to a tenth of a second. Files that are taken for different ones are scored once each, which costs time and
nothing else.
"""

import hashlib
from collections.abc import Generator, Iterator
from typing import Any

import av.container
from av.packet import Packet
from av.video.stream import VideoStream

from clipscout.transforms.core.child.protocol import SIGN_OF_LIFE, Item
from clipscout.transforms.core.video import frames

_START_CODE = b"\x00\x00\x01"
#: Types of units that a container may add, leave out or keep elsewhere: delimiters, parameter sets, messages.
_LEFT_OUT = {"h264": {6, 7, 8, 9}, "hevc": {32, 33, 34, 35, 39, 40}}
_DELIMITER_OF_AV1 = b"\x12\x00"
_SIGN_OF_LIFE_PACKETS = 5_000
_SECONDS_STEPS = 10


def picture_digest(
    container: av.container.InputContainer, stream: VideoStream, *shaping: Any
) -> Generator[Item, None, str]:
    """Reads all packets of a picture.

    Args:
      container: The file, as it was opened.
      stream: The picture.
      shaping: What else decides how its frames look, as values that print the same for the same look.

    Yields:
      Signs of life.

    Returns:
      A digest of what the packets hold and of how long they last; empty where a part of them cannot be read.
    """
    codec, flags = stream.codec_context.name, set[str]()
    has_no_times = "avi" in container.format.name  # FFmpeg guesses those of presentation
    found = hashlib.sha256(repr((codec, *shaping)).encode())
    stamps = list[float]()
    for number, packet in enumerate(frames.packets(container, [stream], flags), start=1):
        for part in _parts(packet, codec) if packet.size else ():
            found.update(part)
        if packet.is_discard:
            found.update(b"discarded")
        stamp = packet.dts if packet.pts is None or has_no_times else packet.pts
        if stamp is not None and packet.time_base:
            seconds = float(stamp * packet.time_base)
            stamps = [min([*stamps[:1], seconds]), max([*stamps[1:], seconds])]
        if number % _SIGN_OF_LIFE_PACKETS == 0:
            yield SIGN_OF_LIFE
    if not stamps or flags & {"damaged", "time_jumps"}:
        return ""
    found.update(str(round((stamps[1] - stamps[0]) * _SECONDS_STEPS)).encode())
    return found.hexdigest()


def _parts(packet: Packet, codec: str) -> Iterator[bytes]:
    """Yields what of a packet does not depend on its container."""
    content = bytes(packet)
    if codec not in _LEFT_OUT:
        yield content.removeprefix(_DELIMITER_OF_AV1) if codec in ("av1", "libdav1d") else content
        return
    for unit in _units(content):
        kind = unit[0] & 0x1F if codec == "h264" else unit[0] >> 1 & 0x3F
        if kind not in _LEFT_OUT[codec]:
            yield _START_CODE
            yield unit


def _units(content: bytes) -> Iterator[bytes]:
    """Yields the units of a packet, which start codes or lengths before them tell apart."""
    if content.startswith((_START_CODE, b"\x00" + _START_CODE)) and not _has_lengths(content):
        for unit in content.split(_START_CODE):
            if stripped := unit.rstrip(b"\x00"):
                yield stripped
        return
    place = 0
    while place + 4 < len(content):
        size = int.from_bytes(content[place : place + 4])
        if stripped := content[place + 4 : place + 4 + size].rstrip(b"\x00"):
            yield stripped
        place += 4 + size


def _has_lengths(content: bytes) -> bool:
    """Tells whether lengths of units lead through a packet to its very end."""
    place = 0
    while place + 4 <= len(content):
        place += 4 + int.from_bytes(content[place : place + 4])
    return place == len(content)
