"""Runs measurements in processes of their own, and installs what Clipscout is held against."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CORES = os.cpu_count() or 1
LONG_SECONDS = 10
RIVALS_FOLDER = Path("bench_output/rivals").resolve()


def measure(name: str, *arguments: object, repeat: int = 1) -> dict[str, Any]:
    """Runs a measurement `repeat` times (a long one once), in processes of their own; returns the median one.

    One that the kernel kills (for its memory, as a rule) gives `{"killed": True}`.
    """
    runs = []
    for _ in range(repeat):
        command = [sys.executable, "-m", "benchmarks.measure", name, *map(str, arguments)]
        start = time.monotonic()
        paths = [*sys.path, str(RIVALS_FOLDER)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode == -signal.SIGKILL:
            return {"killed": True}
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
        runs.append({**json.loads(done.stdout.splitlines()[-1]), "process_seconds": time.monotonic() - start})
        if runs[0]["seconds"] > LONG_SECONDS:
            break
    middle = statistics.median_low(run["seconds"] for run in runs)
    return next(run for run in runs if run["seconds"] == middle)


def install(package: str, folder: Path) -> bool:
    """Installs a library beside the results, not into the product's environment."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", folder, package]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
