"""Parts of an MP4: which bytes hold stretches of it, and what a server or a file that lies comes to."""

import io
import struct
from types import SimpleNamespace

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipscout.transforms.core.child.protocol import TaskError
from clipscout.transforms.core.web import ranges
from tests.media_maker import make_video, stamp_of


class Server:
    """Gives ranges of some bytes, and counts; `headers` go over its own, `cut` is what is missing at each end."""

    def __init__(self, data, status=206, headers=(), cut=0):
        self.data, self.status, self.headers, self.cut, self.asked = data, status, dict(headers), cut, []

    def __call__(self, headers):
        start, last = map(int, headers["Range"].removeprefix("bytes=").split("-"))
        body = self.data[start : last + 1]
        self.asked.append(len(body))
        told = {"Content-Range": f"bytes {start}-{start + len(body) - 1}/{len(self.data)}", **self.headers}
        stream = io.BytesIO(body[: len(body) - self.cut])
        return SimpleNamespace(status=self.status, get_header=told.get, read=stream.read, close=lambda: None)


def remote(server, most=1 << 30):
    return ranges.RemoteFile(server, most)


def box(kind, content=b"", size=None):
    return struct.pack(">I4s", len(content) + 8 if size is None else size, kind) + content


def index(*fragments, scale=1000, first_time=0, first_byte=0, version=0):
    head = bytes([version]) + bytes(3) + struct.pack(">II", 1, scale)
    head += struct.pack(">QQ" if version else ">II", first_time, first_byte) + struct.pack(">HH", 0, len(fragments))
    return box(b"sidx", head + b"".join(struct.pack(">III", *fragment, 0) for fragment in fragments))


HEAD = box(b"ftyp", b"isom") + box(b"moov", bytes(50))


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("first_time", [0, 5000])
def test_fragments_are_found_by_their_index(version, first_time):
    sidx = index(*[(100, 2000)] * 10, version=version, first_time=first_time)
    told = ranges.outline(remote(Server(HEAD + sidx + box(b"moof", bytes(992)))))
    start = len(HEAD + sidx)
    assert told.fragments == [(2.0 * n, 2.0 * n + 2, start + 100 * n, start + 100 * n + 100) for n in range(10)]
    wanted = ranges.fragment_ranges(told, [(8.5, 11.5)])
    # the first, those that hold the stretch, and the one behind them
    assert wanted == [(0, 12), (12, 70), (start, start + 100), (start + 400, start + 700)]
    assert ranges.fragment_ranges(told, [(19, 20)])[-1] == (start + 900, start + 1000)


def test_of_a_plain_file_all_but_its_samples_is_fetched():
    data = box(b"ftyp", b"isom") + box(b"mdat", bytes(10_000_000)) + box(b"moov", bytes(5000))
    server = Server(data)
    file = remote(server)
    told = ranges.outline(file)
    assert ranges.head_ranges(told) == [(0, 12), (12, 20), (10_000_020, 10_005_028)]
    target = io.BytesIO()
    file.copy(ranges.head_ranges(told), target, in_place=True)
    assert sum(server.asked) < 100_000
    assert target.getvalue()[-5008:] == data[-5008:]


def test_an_index_without_fragments_says_nothing():
    data = HEAD + index((100, 1000)) + box(b"mdat", bytes(200))
    told = ranges.outline(remote(Server(data)))
    assert told.fragments == []
    assert ranges.head_ranges(told)[-1] == (len(data) - 208, len(data) - 200)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x1aE\xdf\xa3" + bytes(100),
        box(b"ftyp", b"isom"),
        box(b"ftyp", b"isom") + box(b"moov", size=5),
        box(b"ftyp", b"isom") + box(b"moov", size=500),
        HEAD + HEAD,
        HEAD + box(b"moof", bytes(20)),
        HEAD + index((1 << 31, 1000)) + box(b"moof", bytes(20)),
        HEAD + index((100, 1000), scale=0) + box(b"moof", bytes(20)),
        HEAD + box(b"sidx", bytes(10)) + box(b"moof", bytes(20)),
    ],
)
def test_what_has_no_index_is_no_file_for_parts(data):
    with pytest.raises(ranges.NotInPartsError):
        ranges.outline(remote(Server(data)))


@pytest.mark.parametrize(
    "how", [{"status": 200}, {"headers": {"Content-Range": None}}, {"headers": {"Content-Range": "bytes 5-9/10"}}]
)
def test_a_server_without_ranges(how):
    with pytest.raises(ranges.NotInPartsError):
        ranges.outline(remote(Server(HEAD, **how)))


def test_a_file_that_changes_ends_early_or_is_too_large():
    server = Server(HEAD)
    file = remote(server)
    file.read(0, 10)
    server.headers["ETag"] = "other"
    with pytest.raises(ranges.NotInPartsError):
        file.read(0, 10)
    with pytest.raises(ranges.NotInPartsError):
        remote(Server(HEAD, cut=3)).read(0, 10)
    with pytest.raises(TaskError, match="70 bytes, 69 allowed"):
        remote(Server(HEAD), 69).read(0, 10)


@given(st.lists(st.sampled_from([HEAD, box(b"ftyp", b"isom"), index((9, 9)), box(b"moof")]) | st.binary(max_size=40)))
def test_no_file_leads_further_than_to_a_refusal(pieces):
    server, target = Server(b"".join(pieces)), io.BytesIO()
    file, wanted = remote(server), []
    try:
        told = ranges.outline(file)
        wanted = ranges.fragment_ranges(told, [(0, 1e9)]) + ranges.head_ranges(told)
        file.copy(wanted, target, in_place=False)
    except (ranges.NotInPartsError, TaskError):
        wanted = None
    assert wanted is None or len(target.getvalue()) <= sum(end - start for start, end in wanted)
    assert len(server.asked) <= 2 * len(pieces) + 5 + len(wanted or ())


def test_fragments_alone_are_a_file_at_the_times_of_the_whole(tmp_path):
    options = {"movflags": "dash+global_sidx+frag_keyframe"}
    path = make_video(tmp_path / "a.mp4", 250)
    with av.open(path) as plain, av.open(str(tmp_path / "b.mp4"), "w", container_options=options) as output:
        stream = output.add_stream_from_template(plain.streams.video[0])
        for packet in plain.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    server = Server((tmp_path / "b.mp4").read_bytes())
    file = remote(server)
    told = ranges.outline(file)
    with open(tmp_path / "c.mp4", "wb") as target:
        file.copy(ranges.fragment_ranges(told, [(4, 7)]), target, in_place=False)
    with av.open(str(tmp_path / "c.mp4")) as parts:
        frames = [(frame.time, stamp_of(frame.to_ndarray(format="rgb24"))) for frame in parts.decode(video=0)]
    shown = {round((time - frames[0][0]) * 25): stamp for time, stamp in frames}
    assert {*range(100, 175)} <= {*shown}
    assert all(number == stamp for number, stamp in shown.items())
