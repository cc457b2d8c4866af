"""video2dataset, which many collect video datasets with: how fast it fetches, where it can be installed."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

#: Of what it needs but does not bound, the last versions that fit: setuptools with pkg_resources, pyarrow for NumPy 1.
_PACKAGES = ("video2dataset==1.3.*", "setuptools<81", "pyarrow<20")
_INSTALL_SECONDS = 900
#: Measured before by hand, for machines where it cannot be installed: (files, processes, threads of each) to seconds.
KNOWN_SECONDS = {(40, 1, 8): 7.6, (160, 2, 16): 12.6}


def program(folder: Path) -> Path | None:
    """Returns the Python of an environment that has video2dataset, made once below `folder`; None where none can be.

    It wants versions of numpy and torch that the product's environment cannot have.
    """
    place = folder / "video2dataset"
    python, ready = place / "bin" / "python", place / "ready"
    if ready.exists():
        return python
    shutil.rmtree(place, ignore_errors=True)
    install = [python, "-m", "pip", "install", "--quiet", *_PACKAGES]
    try:
        subprocess.run([sys.executable, "-m", "venv", place], check=True, capture_output=True)
        subprocess.run(install, check=True, capture_output=True, timeout=_INSTALL_SECONDS)
    except subprocess.SubprocessError:
        shutil.rmtree(place, ignore_errors=True)  # gigabytes
        return None
    ready.touch()
    return python


def seconds(python: Path, folder: Path, urls: list[str], processes: int, threads: int) -> float:
    """Returns how long the whole command takes to fetch `urls` into files; each process gets an equal share."""
    output, listed, config = folder / "video2dataset_out", folder / "urls.txt", folder / "video2dataset.json"
    shutil.rmtree(output, ignore_errors=True)
    listed.write_text("\n".join(urls) + "\n")
    sharing = {"processes_count": processes, "thread_count": threads, "subjob_size": 1000}
    settings = {
        "subsampling": {},
        "reading": {"yt_args": {}, "timeout": 60, "sampler": None},
        "storage": {
            "number_sample_per_shard": len(urls) // processes,
            "oom_shard_count": 5,
            "captions_are_subtitles": False,
        },
        "distribution": {**sharing, "distributor": "multiprocessing"},
    }
    config.write_text(json.dumps(settings))  # JSON is YAML
    names = {"url_list": listed, "input_format": "txt", "output_folder": output, "config": config}
    command = [python, "-m", "video2dataset.main", *(f"--{name}={value}" for name, value in names.items())]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    taken = time.monotonic() - start
    found = sum(1 for _ in output.rglob("*.mp4"))
    if done.returncode or found != len(urls):
        raise RuntimeError(f"{found} of {len(urls)} files: {done.stderr[-500:]}")
    return taken
