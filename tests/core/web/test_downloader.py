"""yt-dlp's downloader with one request per direct link: the bytes are those of two requests, whatever comes between."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from yt_dlp.networking import HEADRequest, Request

from clipscout.transforms.core.child.protocol import TaskError
from clipscout.transforms.core.storage.errors import DISK_FULL
from clipscout.transforms.core.web import fetch_tasks, ranges
from clipscout.transforms.core.web.downloader import Downloader
from clipscout.transforms.core.web.filters import FilterSettings

BODY = bytes(range(256)) * 1000


class File(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append((self.command, self.path))
        body, headers = BODY, {"Content-Type": "video/mp4"}
        if self.path == "/gzip.mp4":
            body, headers["Content-Encoding"] = gzip.compress(BODY), "gzip"
        if self.path == "/redirect.mp4":
            body, headers = b"", {"Location": "/file.mp4"}
        if self.path == "/octets":
            headers["Content-Type"] = "application/octet-stream"
        if self.command == "POST":
            body = b"posted"
        status = 302 if "Location" in headers else 206 if self.headers.get("Range") else 200
        if status == 206:
            body = body[10:20]
            headers["Content-Range"] = f"bytes 10-19/{len(BODY)}"
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), File) as running:
        running.asked, running.daemon_threads = [], True
        running.url = f"http://127.0.0.1:{running.server_port}"
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def downloader():
    with Downloader({"quiet": True, "no_warnings": True, "cachedir": False}) as made:
        yield made


def request_for(url, folder):
    return {
        "url": url,
        "folder": str(folder),
        "max_height": 144,
        "height_cap": 720,
        "max_bytes": 10_000_000,
        "sound": True,
        "filter": vars(FilterSettings(0, 1e9, "any")),
        "web": {"allowed_hosts": ["true"], "socket_timeout_seconds": 5},
    }


@pytest.mark.parametrize(
    "path", ["/file.mp4", "/octets", "/gzip.mp4", "/redirect.mp4", "/file?id=3"], ids=lambda path: path[1:]
)
def test_a_direct_link_gives_the_file(server, tmp_path, path):
    ((facts, _),) = fetch_tasks.download(request_for(server.url + path, tmp_path))
    with open(facts["path"], "rb") as file:
        assert file.read() == BODY
    asks = {"/file.mp4": 1, "/octets": 1, "/file?id=3": 1}.get(path)
    if asks:
        assert server.asked == [("GET", path)] * asks


def test_a_disk_that_is_full_is_named_where_parts_are_fetched(server, tmp_path, monkeypatch):
    """The file of the parts lies where nothing can be written."""
    (tmp_path / "parts.mp4").symlink_to("/dev/full")
    outline = ranges.Outline([ranges.Box(b"ftyp", 0, 100_000, 8)], [])
    monkeypatch.setattr(ranges, "outline", lambda remote: outline)
    monkeypatch.setattr(ranges.RemoteFile, "read", lambda self, start, end: bytes(end - start))
    with pytest.raises(TaskError) as caught:
        list(fetch_tasks.download({**request_for(server.url + "/file.mp4", tmp_path), "seconds": [[0, 1]]}))
    assert caught.value.code == DISK_FULL


def test_what_was_read_of_an_answer_is_read_again(server, downloader):
    first = downloader.urlopen(Request(f"{server.url}/file.mp4"))
    assert first.read(512) == BODY[:512]
    assert downloader.urlopen(Request(f"{server.url}/file.mp4")).read() == BODY
    assert len(server.asked) == 1


def test_an_answer_of_which_much_was_read_is_asked_for_again(server, downloader):
    assert len(downloader.urlopen(f"{server.url}/file.mp4").read(100_000)) > 1 << 16
    assert downloader.urlopen(f"{server.url}/file.mp4").read() == BODY
    assert len(server.asked) == 2


@pytest.mark.parametrize("before", ["HEAD", "POST", "Range"])
def test_only_the_answer_to_a_plain_request_is_handed_on(server, downloader, before):
    url = f"{server.url}/file.mp4"
    earlier = {
        "HEAD": HEADRequest(url),
        "POST": Request(url, data=b"x"),
        "Range": Request(url, headers={"Range": "bytes=10-19"}),
    }
    downloader.urlopen(earlier[before]).read()
    assert downloader.urlopen(Request(url)).read() == BODY
    assert len(server.asked) == 2


def test_a_request_of_another_kind_is_not_answered_with_what_is_kept(server, downloader):
    url = f"{server.url}/file.mp4"
    downloader.urlopen(Request(url))
    assert downloader.urlopen(Request(url, headers={"Range": "bytes=10-19"})).read() == BODY[10:20]


def test_an_answer_can_be_read_after_another_request(server, downloader):
    first = downloader.urlopen(Request(f"{server.url}/file.mp4"))
    downloader.urlopen(Request(f"{server.url}/other.mp4")).read()
    assert first.read() == BODY
