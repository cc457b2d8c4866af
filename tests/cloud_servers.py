"""A stand-in for Google Cloud Storage with faults: a reverse proxy on 127.0.0.1 in front of gcp-storage-emulator.

The proxy injects faults by a schedule and counts them. It also repairs where the emulator is not what Google's service
is: media links with names that are not quoted (so that `#` and `?` cut them off), errors without a reason, listings in
one endless page, resumable uploads that do not know a chunk which they have already, nor the checksum of the whole,
preconditions that are not asked.
"""

import base64
import contextlib
import http.client
import http.server
import itertools
import json
import random
import re
import socket
import struct
import threading
from collections import Counter
from urllib.parse import parse_qs, quote, unquote, urlsplit

import google_crc32c

from tests.servers import metadata_server, storage_emulator

#: What may happen to a request. `reset`: the connection breaks before anything was done. `lost`: it was done, and the
#: connection breaks instead of an answer. `cut`: the answer ends in the middle. `corrupt`: a byte of the content
#: changes on the way, up or down. Numbers are answers with that status.
FAULTS = ("503", "429", "reset", "lost", "cut")
#: Kinds of requests: content down, facts of an object, listings, content up in one request, the start and the chunks
#: of a resumable upload, deletions, everything else.
KINDS = ("read", "facts", "list", "upload", "start", "chunk", "delete", "other")
_STATUS_REASONS = {
    400: "invalid",
    429: "rateLimitExceeded",
    403: "forbidden",
    404: "notFound",
    412: "conditionNotMet",
    503: "backendError",
}


def every(number, faults=FAULTS, kinds=KINDS):
    """Returns a schedule: of each kind's requests the first and each `number`-th after it meet the next fault."""
    lock, seen, turns = threading.Lock(), Counter(), itertools.cycle(faults)

    def schedule(kind, _):
        with lock:
            seen[kind] += 1
            return next(turns) if kind in kinds and seen[kind] % number == 1 else ""

    return schedule


def seeded(seed, share, faults=FAULTS, kinds=KINDS):
    """Returns a schedule: each request of these kinds meets a fault with the probability `share`."""
    lock, chance = threading.Lock(), random.Random(seed)

    def schedule(kind, _):
        with lock:
            draw, fault = chance.random(), chance.choice(faults)
        return fault if kind in kinds and draw < share else ""

    return schedule


def script(**faults):
    """Returns a schedule: the n-th request of a kind meets the n-th fault of its list, later ones none."""
    lock, left = threading.Lock(), {kind: list(given) for kind, given in faults.items()}

    def schedule(kind, _):
        with lock:
            return left[kind].pop(0) if left.get(kind) else ""

    return schedule


def always(fault, kinds=KINDS):
    """Returns a schedule: every request of these kinds meets the fault."""
    return lambda kind, _: fault if kind in kinds else ""


class FaultyStorage:
    """A storage whose requests are counted and meet faults.

    Attributes:
      url: Address without a slash at the end.
      schedule: Takes the kind of a request and the object's name, returns a fault or "".
      injected: (fault, kind) to how often it really happened.
      requests: (kind, object's name or listed prefix) of every request so far, faults included.
      page: Most objects in one page of a listing.
    """

    def __init__(self, emulator_url):
        self.emulator = urlsplit(emulator_url).netloc
        self.url, self.schedule, self.page = "", always(""), 1000
        self.injected, self.requests = Counter(), []
        self._chunks, self._sums = {}, {}  # of resumable uploads: answers to chunks, checksums of all so far
        self._conditional = threading.Lock()
        self._lock = threading.Lock()  # the emulator has one thread, and a short queue before it

    def faults(self):
        """Returns the faults that happened so far."""
        return {fault for fault, _ in self.injected}

    def asked(self, kind, name=""):
        """Returns how many requests of a kind there were for names that begin like this."""
        return sum(asked == kind and of.startswith(name) for asked, of in self.requests)

    def clear(self):
        """Empties the buckets, ends all faults and forgets what was asked and injected so far."""
        self._ask("GET", "/wipe?keep-buckets=yes", {}, b"")
        self.schedule, self.page = always(""), 1000
        self.forget()

    def forget(self):
        """Forgets what was asked and injected so far."""
        self.injected.clear()
        self.requests.clear()

    def planned(self, kind, name):
        """Counts a request and returns the fault that it meets."""
        with self._lock:
            self.requests.append((kind, name))
        return self.schedule(kind, name)

    def happened(self, fault, kind):
        """Counts a fault."""
        with self._lock:
            self.injected[fault, kind] += 1

    def answer(self, method, path, headers, body):
        """Asks the emulator and repairs what it says; returns status, headers and body."""
        if "ifGenerationMatch" not in path:
            return self._answer(method, path, headers, body)
        with self._conditional:  # nothing comes between a question and what hangs on its answer
            wanted = int(parse_qs(urlsplit(path).query)["ifGenerationMatch"][0])
            if wanted != self._generation(path, body):
                return refusal(412, "At least one of the pre-conditions you specified did not hold.")
            return self._answer(method, path, headers, body)

    def _generation(self, path, body):
        bucket = re.search(r"/b/([^/]+)/o", urlsplit(path).path)[1]
        name = kind_of("GET", path)[1] or _name_in(body)
        status, _, data = self._ask("GET", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}", {}, b"")
        return int(json.loads(data)["generation"]) if status == 200 else 0

    def _answer(self, method, path, headers, body):
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        place = (query.get("upload_id"), headers.get("Content-Range"))
        if place in self._chunks:
            return self._chunks[place]
        if "upload_id" in query and not self._fits(query["upload_id"], headers.get("x-goog-hash"), body):
            return refusal(400, "Provided CRC32C doesn't match calculated CRC32C.")
        status, given, data = self._ask(method, path, headers, body)
        names = re.search(r"/b/([^/]+)(?:/o(?:/(.+))?)?$", parts.path)
        if status == 404 and names and not data:
            status, given, data = refusal(404, self._missing(*names.groups()))
        elif given.get("Content-type", "").startswith("application/json") and status == 200:
            facts = json.loads(data)
            if isinstance(facts.get("items"), list):
                facts = self._one_page(facts, query)
            for item in [facts, *facts.get("items", [])]:
                if "mediaLink" in item:
                    link = f"{self.url}/download/storage/v1/b/{item['bucket']}/o/{quote(item['name'], safe='')}"
                    item["mediaLink"] = f"{link}?generation={item['generation']}&alt=media"
            data = json.dumps(facts).encode()
        answer = status, {name: given[name] for name in given if name.lower() not in _PER_HOP}, data
        if query.get("upload_id") and status in (200, 308):
            self._chunks[place] = answer
        return answer

    def _fits(self, upload, told, chunk):
        """Tells whether the checksum that comes with the last chunk is that of all chunks."""
        self._sums.setdefault(upload, google_crc32c.Checksum()).update(chunk)
        return not told or told == f"crc32c={base64.b64encode(self._sums[upload].digest()).decode()}"

    def _one_page(self, facts, query):
        first = int(query.get("pageToken", 0))
        last = first + min(self.page, int(query.get("maxResults", self.page)))
        more = {"nextPageToken": str(last)} if last < len(facts["items"]) else {}
        return {**facts, "items": facts["items"][first:last], **more}

    def _missing(self, bucket, name):
        status, _, _ = self._ask("GET", f"/storage/v1/b/{bucket}", {}, b"")
        there = status == 200
        return f"No such object: {bucket}/{unquote(name or '')}" if there else "The specified bucket does not exist."

    def _ask(self, method, path, headers, body):
        with self._lock:
            connection = http.client.HTTPConnection(self.emulator, timeout=30)
            try:
                connection.request(method, path, body or None, dict(headers))
                answer = connection.getresponse()
                return answer.status, answer.headers, answer.read()
            finally:
                connection.close()


_PER_HOP = ("connection", "content-length", "date", "server", "transfer-encoding")


def refusal(status, message):
    """Returns status, headers and body of an error as Google words it."""
    reason = {"message": message, "domain": "global", "reason": _STATUS_REASONS[status]}
    body = json.dumps({"error": {"code": status, "message": message, "errors": [reason]}}).encode()
    return status, {"Content-type": "application/json; charset=UTF-8"}, body


def kind_of(method, path):
    """Returns the kind of a request and the name that it is about."""
    parts = urlsplit(path)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    name = re.search(r"/o/(.+)$", parts.path)
    object_name = unquote(name[1]) if name else query.get("name", query.get("prefix", ""))
    if "upload_id" in query:
        return "chunk", query["upload_id"].partition(":")[2].rsplit(":", 3)[0]  # bucket, name and time are the id
    if method == "POST" and "uploadType" in query:
        return ("start" if query["uploadType"] == "resumable" else "upload"), object_name
    if name is None:
        return ("list" if parts.path.endswith("/o") else "other"), object_name
    if method == "GET":
        return ("read" if query.get("alt") == "media" else "facts"), object_name
    return ("delete" if method == "DELETE" else "other"), object_name


def corrupted(body):
    """Returns the body with one byte of the content changed: the last one, or that before a multipart body's end."""
    end = body.rfind(b"\r\n--")
    place = (end if end > 0 else len(body)) - 1
    return body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]


class _Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize, disable_nagle_algorithm = -1, True  # an answer in two parts would wait 40 ms for the first to be noted
    storage: FaultyStorage

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind, name = kind_of(self.command, self.path)
        if kind in ("upload", "start") and not name:
            name = _name_in(body)
        fault = self.storage.planned(kind, name)
        if fault:
            self.storage.happened(fault, kind)
        if fault == "reset":
            self.reset()
        elif fault.isdecimal():
            self.give(*refusal(int(fault), f"a fault of the kind {fault}"))
        else:
            sent = corrupted(body) if fault == "corrupt" and body else body
            status, headers, data = self.storage.answer(self.command, self.path, self.headers, sent)
            if fault == "lost" or (fault == "cut" and not data):
                self.reset()
            else:
                self.give(status, headers, corrupted(data) if fault == "corrupt" and not body else data, fault == "cut")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - the base class wants these names

    def give(self, status, headers, data, cut=False):
        self.send_response(status)
        for header, value in headers.items():
            self.send_header(header, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = self.close_connection or cut

    def reset(self):
        """Ends the connection with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, *_):
        pass


def _name_in(body):
    """Returns the object's name in the description that an upload begins with."""
    found = re.search(rb'"name": ("(?:[^"\\]|\\.)*")', body)
    return json.loads(found[1]) if found else ""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def shutdown_request(self, request):
        self.close_request(request)  # without the farewell that would make a reset look like an end

    def handle_error(self, *_):  # clients that hang up
        pass


@contextlib.contextmanager
def faulty_storage(emulator_url):
    """Runs the proxy before an emulator; gives the FaultyStorage, which injects nothing until it has a schedule."""
    storage = FaultyStorage(emulator_url)
    server = _Server(("127.0.0.1", 0), type("Proxy", (_Proxy,), {"storage": storage}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    storage.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield storage
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def google(bucket):
    """Runs a storage with faults and a metadata server; gives the storage and the environment that leads there."""
    with (
        metadata_server() as metadata,
        storage_emulator(bucket) as emulator,
        faulty_storage(emulator["STORAGE_EMULATOR_HOST"]) as storage,
    ):
        yield storage, {**emulator, **metadata, "STORAGE_EMULATOR_HOST": storage.url}
