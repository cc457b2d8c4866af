"""The guard of `egress`: it refuses and tells, in this process, in its children and in a job's workers."""

import asyncio
import os
import socket
import subprocess
import sys

import grpc
import pytest
from apache_beam import Create, Map, Pipeline
from apache_beam.options.pipeline_options import PipelineOptions

from clipscout.pipeline.options import LOCAL_RUNNER
from tests import egress
from tests.conftest import PLUGINS

pytest_plugins = ["pytester"]

# an address for documentation, and names that no resolver may be asked for
FAR, NAME = "192.0.2.1", "clipscout.invalid"
# gRPC's C core is there before it is watched
LOAD_BEFORE = f"import sys; sys.path.append({os.path.dirname(PLUGINS)!r}); sys.meta_path.pop(0); import grpc;"


def connect(family=socket.AF_INET, host=FAR):
    with socket.socket(family) as sock:
        sock.settimeout(1)
        sock.connect((host, 9))


def connect_ex():
    with socket.socket() as sock:
        sock.connect_ex((FAR, 9))


def send():
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"", (FAR, 9))


async def channel_of_asyncio():
    grpc.aio.insecure_channel(f"dns:///{NAME}")


ATTEMPTS = {
    "connect": connect,
    "connect_ex": connect_ex,
    "connect, IPv6": lambda: connect(socket.AF_INET6, "2001:db8::1"),
    "connect, mapped": lambda: connect(socket.AF_INET6, f"::ffff:{FAR}"),
    "sendto": send,
    "getaddrinfo": lambda: socket.getaddrinfo(NAME, 80),
    "getaddrinfo, bytes": lambda: socket.getaddrinfo(NAME.encode(), 80),
    "gethostbyname": lambda: socket.gethostbyname(NAME),
    "gethostbyaddr": lambda: socket.gethostbyaddr(FAR),
    "getnameinfo": lambda: socket.getnameinfo((FAR, 80), 0),
    "gRPC": lambda: grpc.insecure_channel(f"{FAR}:443"),
    "gRPC, with a secret": lambda: grpc.secure_channel(f"{NAME}:443", grpc.ssl_channel_credentials()),
    "gRPC, IPv6": lambda: grpc.insecure_channel("ipv6:[2001:db8::1]:443"),
    "gRPC, a name server": lambda: grpc.insecure_channel(f"dns://{FAR}/localhost:443"),
    "gRPC, several": lambda: grpc.insecure_channel(f"ipv4:127.0.0.1:9,{FAR}:9"),
    "gRPC, asyncio": lambda: asyncio.run(channel_of_asyncio()),
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_an_attempt_is_refused_and_told(attempt):
    with pytest.raises(PermissionError, match="no test may reach"):
        attempt()
    (line,) = egress.new_lines()
    assert line.startswith(f"process {os.getpid()} ")
    assert any(place in line for place in (FAR, NAME, "2001:db8::1"))


def test_what_stays_on_the_machine_is_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        socket.create_connection(("localhost", address[1])).close()
        socket.create_connection(address).close()
    for host in (None, "127.0.0.1", b"localhost", "::1", FAR):  # a literal address is not looked up
        socket.getaddrinfo(host, 80)
    first, second = socket.socketpair()
    first.close()
    second.close()
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(FileNotFoundError):
        sock.connect("/no such socket")
    for target in ("localhost:9", "127.0.0.1:9", "[::1]:9", "dns:///localhost:9", "unix:/no such socket"):
        grpc.insecure_channel(target).close()
    assert egress.new_lines() == []


def test_an_attempt_fails_the_test_in_which_it_happens(pytester):
    pytester.makeconftest("from tests.conftest import nothing_leaves_the_machine")
    pytester.makepyfile(
        f"""
        import socket, subprocess, sys
        TRY = "import socket; socket.create_connection(({FAR!r}, 9))"
        def test_before(): pass
        def test_silent():
            try: socket.create_connection(({FAR!r}, 9))
            except OSError: pass
        def test_child(): assert subprocess.run([sys.executable, "-c", TRY], stderr=subprocess.DEVNULL).returncode
        def test_after(): pass
        """
    )
    outcome = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    outcome.assert_outcomes(passed=4, errors=2)
    outcome.stdout.fnmatch_lines(["*tried to leave this machine:", f"*socket.connect *{FAR}*"])
    failed = [line for line in outcome.outlines if line.startswith("ERROR ")]
    assert [line.split("::")[1].split(" ")[0] for line in failed] == ["test_silent", "test_child"]


@pytest.mark.parametrize(
    "program",
    [
        f"import socket; socket.create_connection(({FAR!r}, 9))",
        f"import grpc; grpc.insecure_channel('{FAR}:9')",
        f"{LOAD_BEFORE} import egress; egress.watch(); grpc.insecure_channel('{FAR}:9')",
    ],
    ids=["socket", "gRPC", "gRPC, loaded before"],
)
def test_a_child_process_is_watched(tmp_path, program):
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "no test may reach" in done.stderr
    (line,) = egress.new_lines()
    assert program in line


def test_the_site_customization_that_was_there_is_still_run(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.was_here = __name__\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([PLUGINS, str(tmp_path)])}
    program = "import sys; print(sys.was_here)"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "sitecustomize\n"


def test_the_workers_of_a_job_are_watched():
    options = PipelineOptions(["--direct_num_workers=2", "--direct_running_mode=multi_processing"])
    with Pipeline(LOCAL_RUNNER, options=options) as pipeline:
        # it looks the name up, and passes over a failure: a job that fails may hang in Beam's farewell to its workers
        pipeline | Create([NAME]) | Map(socket.getfqdn)
    lines = egress.new_lines()
    assert lines
    assert all(NAME in line and not line.startswith(f"process {os.getpid()} ") for line in lines)
