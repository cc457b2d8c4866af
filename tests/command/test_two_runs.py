"""Two runs at once in one output: the second is refused in one line; a killed one does not hinder the next."""

import signal
import socket
import subprocess
import sys

from clipscout.pipeline.run import main
from tests.conftest import read_jsonl
from tests.jobs import ROOT, arguments, scene_video


def test_a_second_run_is_refused_until_the_first_is_gone(tmp_path, colour_spec, capsys):
    scene_video(tmp_path / "good.mp4", ("grey", 1), ("red", 1))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        page = f"http://127.0.0.1:{silent.getsockname()[1]}/video.mp4"
        rows = [{"action": "red", "path": str(tmp_path / "good.mp4")}, {"action": "red", "url": page}]
        given = arguments(tmp_path, rows, colour_spec, "--clip_seconds=1", "--allow_private_hosts=127.0.0.1")
        given.append("--download_attempts=1")
        first = subprocess.Popen([sys.executable, "-m", "pipeline", *given], cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            silent.settimeout(60)
            silent.accept()  # it runs, and waits for an answer now
            before = {path: path.read_bytes() for path in (tmp_path / "output").rglob("*.json*") if path.is_file()}
            assert main(given) == 2
            (line,) = capsys.readouterr().err.splitlines()
            told = f"clipscout: --output: another run writes to '{tmp_path}/output' (process {first.pid} on "
            assert line.startswith(told)
            assert line.endswith("; let it end, or give another folder")
            assert {path: path.read_bytes() for path in before} == before
        finally:
            first.send_signal(signal.SIGKILL)
            first.wait()
        (tmp_path / "output/.writing-abc").write_bytes(b"half")  # what a kill may leave
        (tmp_path / "output/clips/red").mkdir(parents=True, exist_ok=True)
        (tmp_path / "output/clips/red/.writing-def").write_bytes(b"half")
        (tmp_path / "output/mine").mkdir()
        (tmp_path / "output/mine/.writing-ghi").write_bytes(b"not Clipscout's")
    assert main(given) == 0  # at once: its process is gone; and nobody listens any more
    assert len(read_jsonl(tmp_path / "output/spans.jsonl")) == 2
    hidden = {path.relative_to(tmp_path / "output").as_posix() for path in (tmp_path / "output").rglob(".*")}
    assert hidden == {"mine/.writing-ghi"}
