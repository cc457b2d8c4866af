"""What clips of a run are held against: features of clips that an earlier run has, or that are to stay unseen."""

import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clipscout.transforms.core.duplicates import feature_files
from clipscout.transforms.core.duplicates.feature_files import FeatureFileError, FeatureModel
from clipscout.transforms.core.storage import filesystem
from clipscout.transforms.core.storage.matching import match_files


@dataclass(frozen=True)
class Reference:
    """Some files of features.

    Attributes:
      uris: The files.
      root: What the clips of their rows are relative to; empty where they are named as they were found.
      own: Whether they are of the output itself: what the run has again is no reference then.
      checked: Whether a clip has to be there still to count.
    """

    uris: tuple[str, ...]
    root: str = ""
    own: bool = False
    checked: bool = False


def earlier(output: str, model: FeatureModel, action: str, *, own: bool) -> Reference:
    """Returns what an output holds of an action, or of all.

    Raises:
      StorageError: It cannot be listed.
    """
    folder = model.block_folder(output, action)
    names = sorted(name for name in filesystem.walk_files(folder) if name.endswith(feature_files.ENDING))
    return Reference(tuple(filesystem.join(folder, name) for name in names), output, own=own, checked=True)


def days_before(pattern: str, date: datetime.date) -> list[str]:
    """Returns the outputs of a daily job from before a date, oldest first.

    Args:
      pattern: The output with `{date}` in the place of each day's date, in one of its folders' names.
      date: The day.

    Raises:
      StorageError: They cannot be listed.
    """
    before, _, after = pattern.partition("{date}")
    parent, _, begin = before.rpartition("/")
    end, _, below = after.partition("/")
    if "{date}" in after:
        return []
    name = re.compile(re.escape(begin) + r"(\d{4}-\d\d-\d\d)" + re.escape(end))
    found = (name.fullmatch(folder) for folder in filesystem.subfolders(parent or ("/" if before[:1] == "/" else ".")))
    days = [match[0] for match in found if match and match[1] < date.isoformat()]
    outputs = [f"{parent}/{day}" if parent or before[:1] == "/" else day for day in days]
    return [filesystem.join(output, below) if below else output for output in outputs]


def named(path: str, model: FeatureModel) -> list[Reference]:
    """Returns what one part of `--reference` names: a file, a glob, a folder of such files, or the output of a job.

    Raises:
      FeatureFileError: There is no such file, or none of this model.
      StorageError: It cannot be listed.
    """
    if not path.endswith(feature_files.ENDING) and filesystem.is_folder(path):
        return [_of_folder(path.rstrip("/"), model)]
    found = match_files(path)
    if not found:
        raise FeatureFileError(f"no file matches {path!r}")
    return [Reference((uri,), _root_of(uri)) for uri in found]


def _of_folder(folder: str, model: FeatureModel) -> Reference:
    names = sorted(name for name in filesystem.walk_files(folder) if name.endswith(feature_files.ENDING))
    below = f"{feature_files.FOLDER}/"
    if not any(name.startswith(below) for name in names):
        if not names:
            raise FeatureFileError(f"{folder}: holds no file of features (*{feature_files.ENDING})")
        return Reference(tuple(filesystem.join(folder, name) for name in names), _root_of(folder + "/"))
    blocks = model.block_folder(folder).removeprefix(folder).lstrip("/") + "/"
    uris = tuple(filesystem.join(folder, name) for name in names if name.startswith(blocks))
    if not uris:
        found = sorted({name.split("/")[1] for name in names if name.startswith(below)})
        raise FeatureFileError(
            f"{folder}: holds features of other models only ({', '.join(found)}), and this job's are of {model.name} "
            f"({model.fingerprint}); only those of one model can be compared"
        )
    return Reference(uris, folder)


def _root_of(uri: str) -> str:
    """Returns the output that a file of features lies in, empty where it lies in none."""
    before, found, _ = uri.partition(f"/{feature_files.FOLDER}/")
    return before if found else ""


def check(references: Sequence[Reference], model: FeatureModel) -> Iterator[str]:
    """Yields a line for each file that cannot be used, without reading its features."""
    for reference in references:
        rows = 0
        for uri in reference.uris:
            try:
                rows += feature_files.opened(uri, model).metadata.num_rows
            except (FeatureFileError, filesystem.StorageError) as error:
                yield str(error)
                rows += 1
        if not rows:
            yield f"{', '.join(reference.uris)}: holds no features: nothing could be seen"
