"""Writing the report of an output, by the job's last stage and for outputs of earlier jobs."""

from collections.abc import Container, Mapping
from typing import Any

from clipscout.transforms.core.report import contents, curves, page, plots
from clipscout.transforms.core.storage import filesystem, manifest_files, naming, tracks
from clipscout.transforms.core.storage.tracks import TrackFiles

_SCORES = "report/scores"


def write(output: str, summary: Mapping[str, Any]) -> frozenset[str]:
    """Writes the page and the plots of a finished output, and returns the keys of the videos that it shows.

    Args:
      output: The output folder.
      summary: The content of its summary.json.

    Raises:
      StorageError: Its manifests cannot be read, or the report cannot be written.
    """
    data = contents.collected(output, summary)
    files = dict(_plots(data))
    for stale in {f"{_SCORES}/{name}" for name in filesystem.list_files(filesystem.join(output, _SCORES))} - set(files):
        filesystem.delete(filesystem.join(output, stale))
    for name, text in files.items():
        filesystem.write_bytes(filesystem.join(output, name), text.encode())
    about = f"finished {summary.get('finished', '')} by Clipscout {summary.get('version', '')}"
    filesystem.write_bytes(filesystem.join(output, page.INDEX), page.rendered(data, about))
    key = data["videos"]["fields"].index("key")
    return frozenset(row[key] for row in data["videos"]["rows"])


def _plots(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    summary, fields = data["summary"], data["spans"]["fields"]
    action, score = fields.index("action"), fields.index("score")
    held_to = fields.index("held_to")
    scores, thresholds = dict[str, list[float]](), dict[str, float]()
    for row in data["spans"]["rows"]:
        scores.setdefault(row[action], []).append(row[score])
        thresholds[row[action]] = min(row[held_to], thresholds.get(row[action], row[held_to]))
    files = [("report/funnel.svg", plots.funnel(summary["funnel"]))]
    for name, found in sorted(scores.items()):
        files.append((f"{_SCORES}/{naming.action_folder(name)}.svg", plots.histogram(name, found, thresholds[name])))
    return files


def restore_curves(output: str, keys: Container[str], settings: Mapping[str, Any]) -> int:
    """Makes the curves that videos lack from their score tracks; returns how many were made.

    What is gone with a track cannot be drawn; nor can an action whose responses were never stored, since another run's
    outputs answered for it.

    Args:
      output: The output folder.
      keys: The videos that are looked at.
      settings: Those of the run, from its summary.

    Raises:
      StorageError: The storage did not answer.
    """
    made = 0
    for video in manifest_files.rows(output, "videos"):
        if video["key"] in keys and video["samples"] and not curves.read(output, video["key"]):
            made += _restored(output, video, settings)
    return made


def _restored(output: str, video: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    actions: dict[str, list[str]] = {}
    for ask in video["asks"]:
        actions.setdefault(ask["action"], []).extend(ask["labels"])
    names = (
        naming.content_key(video["content"], video["size_bytes"], picture) for picture in (video.get("picture", ""), "")
    )
    found = (tracks.read(TrackFiles(output, settings["scores"], name).track()) for name in names)
    stored = next(filter(None, found), None)
    if stored is None:
        return False
    boundaries, seconds = stored.report["shot_boundaries"], stored.report["decoded_seconds"]
    smooth_seconds = settings.get("smooth_seconds") or 0.0
    drawn = curves.of_stored(video["key"], stored.scores, actions, boundaries, seconds, smooth_seconds)
    if not drawn["responses"]:
        return False
    curves.write(output, drawn)
    return True
