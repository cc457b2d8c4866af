"""A loopback video site with faults: `python -m tests.web_server FOLDER` prints its port and serves until stopped.

FOLDER holds catalogue.json (id -> fields) and media files. A video's `fault` says how its media answer misbehaves.
`/log` returns how often each path was asked, `/bytes` how many bytes of media each was given. A video's `ranges` says
whether parts of its media are given: always ("yes"), at first ("once"), of a file that is another each time
("changing"), or never, as an error ("refused").
"""

import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

DEFAULTS = {
    "title": "a video",
    "duration": 3,
    "channel": "someone",
    "channel_id": "c0",
    "license": "all rights reserved",
    "live_status": "not_live",
    "media": "small.mp4",
    "fault": "",
    "page_error": "",
    "heights": [144],
    "wait": 0,
    "login": False,
    "parts": [],
    "malformed": "",
    "stated": True,
    "sound": "",
    "sound_fault": "",
    "ranges": "",
}


class Site(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = Path()
    counts: ClassVar[Counter] = Counter()
    given: ClassVar[Counter] = Counter()
    headers_seen: ClassVar[list] = []
    gauge: ClassVar[dict] = {"now": 0, "most": 0}
    lock = threading.Lock()

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = urlsplit(self.path)
        if path.path not in ("/log", "/headers", "/most", "/bytes"):
            self.counts[path.path] += 1
            self.headers_seen.append({"path": path.path, "cookie": self.headers.get("Cookie", "")})
        parts = path.path.strip("/").split("/")
        handler = getattr(self, f"on_{parts[0]}", None)
        if handler is None:
            self.answer(404, b"not found")
        else:
            handler(*parts[1:], **{name: values[0] for name, values in parse_qs(path.query).items()})

    def do_HEAD(self):
        self.do_GET()

    def answer(self, status, body, kind="text/html", headers=(), length=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length != "none":
            self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers:
            self.send_header(name, value)
        if length is not None:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def catalogue(self):
        videos = json.loads((self.folder / "catalogue.json").read_text())
        return {video_id: {**DEFAULTS, **fields, "id": video_id} for video_id, fields in videos.items()}

    def base(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def on_log(self):
        self.answer(200, json.dumps(self.counts).encode(), "application/json")

    def on_bytes(self):
        self.answer(200, json.dumps(self.given).encode(), "application/json")

    def on_most(self):
        self.answer(200, json.dumps(self.gauge["most"]).encode(), "application/json")

    def on_headers(self):
        self.answer(200, json.dumps(self.headers_seen).encode(), "application/json")

    def on_search(self, q=""):
        if q.startswith("blocked"):
            self.answer(429, b"too many requests", headers=[("Retry-After", "3600")])
            return
        words = q.lower().split()
        found = [v for v in self.catalogue().values() if all(word in v["title"].lower() for word in words)]
        self.listing(found)

    def on_channel(self, name):
        self.listing([video for video in self.catalogue().values() if video["channel_id"] == name])

    def listing(self, videos):
        entries = [{**video, "url": f"{self.base()}/watch/{video['id']}"} for video in videos]
        self.answer(200, json.dumps(entries).encode(), "application/json")

    def on_feed(self, name):
        items = "".join(
            f'<item><title>{video["title"]}</title><enclosure url="{self.media_url(video["id"])}"/></item>'
            for video in self.catalogue().values()
            if video["channel_id"] == name
        )
        feed = f'<?xml version="1.0"?><rss version="2.0"><channel><title>feed</title>{items}</channel></rss>'
        self.answer(200, feed.encode(), "application/rss+xml")

    def on_several(self, *video_ids):
        players = "".join(f'<video src="{self.media_url(video_id)}"></video>' for video_id in video_ids)
        self.answer(
            200, f"<!DOCTYPE html><html><head><title>a page</title></head><body>{players}</body></html>".encode()
        )

    def media_url(self, video_id):
        return f"{self.base()}/media/{video_id}/144/video.mp4"

    def on_page(self, video_id):
        video = self.catalogue().get(video_id)
        if video is None:
            self.answer(404, b"not found")
            return
        formats = [
            {
                "url": f"{self.base()}/media/{video_id}/{height}/video.mp4",
                "format_id": str(height),
                "ext": "mp4",
                **({"width": height * 16 // 9, "height": height} if video["stated"] else {}),
                "vcodec": "h264",
                "acodec": "aac" if video["sound"] == "muxed" else "none",
            }
            for height in video["heights"]
        ]
        if video["sound"] == "separate":
            url = f"{self.base()}/sound/{video_id}/sound.m4a"
            formats.append({"url": url, "format_id": "s", "ext": "m4a", "vcodec": "none", "acodec": "aac", "abr": 64})
        page = {**video, "error": video["page_error"], "formats": formats}
        self.answer(200, json.dumps(page).encode(), "application/json")

    def on_sound(self, video_id, name):
        video = self.catalogue()[video_id]
        asked = self.counts[urlsplit(self.path).path]
        self.media(video["sound_fault"], asked, (self.folder / "sound.m4a").read_bytes(), video["ranges"])

    def on_media(self, video_id, height, name):
        video = self.catalogue()[video_id]
        body = (self.folder / video["media"].format(height=height)).read_bytes()
        fault = video["fault"] if int(height) >= video.get("fault_from_height", 0) else ""
        asked = self.counts[urlsplit(self.path).path]
        with self.lock:
            self.gauge["now"] += 1
            self.gauge["most"] = max(self.gauge.values())
        try:
            time.sleep(video["wait"])
            self.media(fault, asked, body, video["ranges"])
        finally:
            with self.lock:
                self.gauge["now"] -= 1

    def media(self, fault, asked, body, ranges=""):
        if ranges == "refused" and "Range" in self.headers:
            self.answer(416, b"no")
        elif re.fullmatch(r"\d\d\d", fault):
            retry = [("Retry-After", "3600")] if fault == "429" else []
            self.answer(int(fault), b"no", headers=retry)
        elif fault == "500 once":
            self.answer(500, b"oops") if asked == 1 else self.answer(200, body, "video/mp4")
        elif fault == "truncated":
            self.answer(200, body[: len(body) // 2], "video/mp4", length=len(body))
        elif fault == "no length":
            self.answer(200, body, "video/mp4", length="none")
        elif fault == "private redirect":
            self.answer(302, b"", headers=[("Location", "http://127.0.0.2:9/secret.mp4")])
        elif fault in ("drip", "stall"):
            self.slow(body, fault)
        elif (wanted := self.headers.get("Range")) and (
            ranges in ("yes", "changing") or (ranges == "once" and asked == 1)
        ):
            start, last = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
            told = f"bytes {start}-{min(last, len(body) - 1)}/{len(body)}"
            version = asked if ranges == "changing" else 1
            headers = [("Content-Range", told), ("ETag", f'"{version}"')]
            self.given[urlsplit(self.path).path] += len(body[start : last + 1])
            self.answer(206, body[start : last + 1], "video/mp4", headers=headers)
        else:
            self.given[urlsplit(self.path).path] += len(body)
            self.answer(200, body, "video/mp4")

    def slow(self, body, fault):
        self.answer(200, body[:1000], "video/mp4", length=len(body))
        for place in range(1000, min(len(body), 1000 + 600)):
            if fault == "drip":
                try:
                    self.wfile.write(body[place : place + 1])
                    self.wfile.flush()
                except OSError:
                    return
            time.sleep(0.2)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):  # clients that hang up are part of the tests
        pass


def serve(folder):
    Site.folder = Path(folder)
    server = Server(("127.0.0.1", 0), Site)
    print(server.server_port, flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever()


class Running:
    """The site as a process of its own; a context manager."""

    def __init__(self, folder, catalogue):
        self.folder = Path(folder)
        self.set(catalogue)

    def set(self, catalogue):
        (self.folder / "catalogue.json").write_text(json.dumps(catalogue))

    def __enter__(self):
        command = [sys.executable, "-m", "tests.web_server", str(self.folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def most(self):
        """Returns how many media requests there were at once, at most."""
        with urllib.request.urlopen(f"{self.url}/most") as answer:
            return json.load(answer)

    def given(self):
        """Returns how many bytes of each file were given."""
        with urllib.request.urlopen(f"{self.url}/bytes") as answer:
            return json.load(answer)

    def log(self):
        with urllib.request.urlopen(f"{self.url}/log") as answer:
            return json.load(answer)

    def headers(self):
        with urllib.request.urlopen(f"{self.url}/headers") as answer:
            return json.load(answer)


if __name__ == "__main__":
    serve(sys.argv[1])
