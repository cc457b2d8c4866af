"""The browser of the tests: it notices what a page does wrong, stays on this machine, plays clips, and is set up."""

import re
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest

from tests.browser import axe_violations
from tests.jobs import ROOT
from tests.media_maker import make_video
from tests.programs import until
from tests.servers import folder_server

pytest_plugins = ["pytester"]

PAGE = '<!doctype html><html lang="en"><head><title>a page</title></head><body><main><h1>A page</h1>{}</main></body>'
FAR = "192.0.2.1"  # an address for documentation
VIDEO = "document.querySelector('video')"


@pytest.fixture
def written(tmp_path):
    """Writes the page with something in its body."""

    def write(body=""):
        (tmp_path / "index.html").write_text(PAGE.format(body))
        return tmp_path / "index.html"

    return write


@pytest.fixture(params=["file", "server"])
def address(request, tmp_path):
    """Where the page is opened: as a file, or on a server."""
    if request.param == "file":
        yield tmp_path / "index.html"
    else:
        with folder_server(tmp_path) as url:
            yield f"{url}/"


def test_a_page_without_faults_has_none(written, open_page, address):
    written("<p>text</p>")
    opened = open_page(address)
    assert (opened.errors, opened.external(), len(opened.requests)) == ([], [], 1)
    assert axe_violations(opened.page) == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("<script>console.error('oh', 1)</script>", r"console: oh 1 \(file:"),
        ("<script>setTimeout(() => { throw new Error('oh') })</script>", "uncaught: .*oh"),
        ("<script>Promise.reject(new Error('oh'))</script>", "uncaught: .*oh"),
        ("<script src='none.js'></script>", r"request: net::ERR_FILE_NOT_FOUND \(file:.*/none.js\)"),
        ("<video src='none.mp4'></video>", r"request: net::ERR_FILE_NOT_FOUND \(file:.*/none.mp4\)"),
    ],
    ids=["console", "exception", "promise", "script", "video"],
)
def test_an_error_is_noticed(written, open_page, body, told):
    opened = open_page(written(body))
    until(lambda: any(re.match(told, error) for error in opened.errors))


def test_an_answer_that_is_an_error_is_noticed(written, open_page, tmp_path):
    written("<img src='none.png' alt=''>")
    with folder_server(tmp_path) as url:
        assert f"404 (Not Found) ({url}/none.png)" in open_page(f"{url}/").errors[0]


@pytest.mark.parametrize(
    ("body", "url"),
    [
        (f"<img src='http://{FAR}/far.png' alt=''>", f"http://{FAR}/far.png"),
        ("<link rel='stylesheet' href='https://clipscout.invalid/far.css'>", "https://clipscout.invalid/far.css"),
        (f"<script>new WebSocket('ws://{FAR}/far')</script>", f"ws://{FAR}/far"),
    ],
    ids=["address", "name", "web socket"],
)
def test_a_request_beyond_the_page_is_noticed_and_fails(written, open_page, address, body, url):
    written(body)
    opened = open_page(address)
    until(lambda: any("ERR_PROXY_CONNECTION_FAILED" in error for error in opened.errors))
    assert opened.external() == [url]
    assert opened.external(url.rpartition("/")[0]) == []


def test_a_clip_plays_and_seeks(written, open_page, address, tmp_path):
    """H.264 and AAC, which Debian builds its chromium with."""
    (tmp_path / "clips").mkdir()
    make_video(tmp_path / "clips/a clip.mp4", frames=250, audio=True, size=(640, 360))
    written('<video src="clips/a%20clip.mp4" preload="metadata" controls></video>')
    opened = open_page(address)
    opened.page.evaluate(f"{VIDEO}.play()")
    until(lambda: opened.page.evaluate(f"{VIDEO}.currentTime") > 0.2)
    assert opened.page.evaluate(f"[{VIDEO}.videoWidth, {VIDEO}.videoHeight]") == [640, 360]
    opened.page.evaluate(f"{VIDEO}.currentTime = 9")
    until(lambda: opened.page.evaluate(f"{VIDEO}.currentTime") > 9.2)
    assert (opened.errors, opened.external()) == ([], [])


def test_a_page_is_opened_as_it_is_asked_for(written, open_page):
    settings = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}
    opened = open_page(written(), color_scheme="dark", has_touch=True, **settings)
    asked = "matchMedia('(prefers-color-scheme: dark)').matches, navigator.maxTouchPoints > 0"
    seen = opened.page.evaluate(f"[innerWidth, innerHeight, devicePixelRatio, {asked}]")
    assert seen == [390, 844, 2, True, True]


def test_a_screenshot_is_an_artefact(written, open_page, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPSCOUT_ARTEFACTS", str(tmp_path / "artefacts"))
    path = open_page(written()).screenshot("a page")
    assert path == tmp_path / "artefacts/a page.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_what_shuts_people_out_is_found(written, open_page):
    pixel = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACADs="
    policy = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; img-src data:\">"
    opened = open_page(written(f"{policy}<img src='{pixel}'><p style='font-size: 8px'>small, and no fault</p>"))
    (line,) = axe_violations(opened.page)
    assert line.startswith("image-alt (critical): img: <img src=")


@pytest.mark.parametrize(
    ("asked", "status", "given", "place"),
    [
        ("", 200, b"0123456789", None),
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=7-99", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=10-", 416, b"no such range", "bytes */10"),
    ],
)
def test_a_folder_is_served_in_ranges(tmp_path, asked, status, given, place):
    (tmp_path / "a b.mp4").write_bytes(b"0123456789")
    with folder_server(tmp_path) as url:
        request = urllib.request.Request(f"{url}/a%20b.mp4", headers={"Range": asked} if asked else {})
        try:
            answer = urllib.request.urlopen(request, timeout=10)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            assert (answer.status, answer.read(), answer.headers["Content-Range"]) == (status, given, place)
            assert answer.headers["Content-Type"] == ("text/plain" if status == 416 else "video/mp4")


def test_without_chromium_the_tests_are_skipped_and_counted(pytester, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CLIPSCOUT_BROWSER", raising=False)
    pytester.makeconftest("from tests.conftest import browser, open_page, pytest_terminal_summary")
    pytester.makepyfile("def test_one(open_page): pass\ndef test_two(open_page): pass\ndef test_three(): pass")
    outcome = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    outcome.assert_outcomes(passed=1, skipped=2)
    outcome.stdout.fnmatch_lines(["*!! 2 browser tests were skipped: no chromium !!*"])


def test_a_browser_that_is_named_and_not_there_is_an_error(pytester, monkeypatch):
    monkeypatch.setenv("CLIPSCOUT_BROWSER", "no such browser")
    pytester.makeconftest("from tests.conftest import browser, open_page, pytest_terminal_summary")
    pytester.makepyfile("def test_one(open_page): pass")
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(errors=1)


#: A stand-in for apt-get without lists of packages: it installs after an update only, where it can at all.
APT = """#!/bin/sh
echo "$DEBIAN_FRONTEND $*" >> "$FAKES/log"
case $1 in
update) touch "$FAKES/lists"; exit $UPDATES ;;
install) test -e "$FAKES/lists" || { echo "E: no such package" >&2; exit 100; }; ln -s /bin/true "$FAKES/chromium" ;;
esac
"""
#: Gives its rights without a question.
SUDO = '#!/bin/sh\ntest "$1" = -n && shift && exec "$@"\n'


@pytest.fixture
def set_up(tmp_path):
    """Runs the set-up on a machine with these programs alone; gives stdout, stderr and what apt was asked."""
    for name in ("sh", "env", "true", "mktemp", "rm", "grep", "tail", "touch", "ln"):
        (tmp_path / name).symlink_to(shutil.which(name))

    def run(*, user=0, updates=0, **programs):
        for name, text in {"id": f"#!/bin/sh\necho {user}\n", **programs}.items():
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)
        environment = {"PATH": str(tmp_path), "FAKES": str(tmp_path), "UPDATES": str(updates)}
        command = ["/bin/sh", str(ROOT / "tests/chromium.sh")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        log = tmp_path / "log"
        return done.stdout, done.stderr, log.read_text().splitlines() if log.exists() else []

    return run


@pytest.mark.parametrize("rights", [{}, {"user": 1000, "sudo": SUDO}], ids=["root", "sudo"])
def test_chromium_is_installed_where_there_is_none(set_up, rights):
    stdout, stderr, asked = set_up(**rights, **{"apt-get": APT})
    assert (stdout, stderr) == ("installing chromium for the browser tests\n", "")
    orders = [line.split()[:2] for line in asked]
    assert orders == [["noninteractive", order] for order in ("install", "update", "install")]
    assert "--no-install-recommends" in asked[0]
    assert set_up(**rights, **{"apt-get": APT}) == ("", "", asked)  # it is there now


NO_RIGHTS = "installing it takes root's rights, or sudo without a password"


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        ({}, "there is no apt-get to install it with"),
        ({"apt-get": APT, "user": 1000}, NO_RIGHTS),
        ({"apt-get": APT, "user": 1000, "sudo": "#!/bin/sh\nexit 1\n"}, NO_RIGHTS),
        ({"apt-get": APT, "updates": 100}, "apt-get could not install it (E: no such package)"),
    ],
    ids=["no apt", "no sudo", "no rights", "no package"],
)
def test_where_chromium_cannot_be_installed_a_line_says_so(set_up, machine, reason):
    _, stderr, _ = set_up(**machine)
    assert stderr == f"!!! NO CHROMIUM: {reason}. The browser tests will be skipped\n"
