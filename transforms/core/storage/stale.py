"""What earlier runs left: clips that the manifests do not name any more, and files that were never finished.

A clip that goes was replaced, or its absence is final; every other one stays.
"""

import contextlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from clipscout.transforms.core.storage import clip_store, filesystem, naming
from clipscout.transforms.failures import Failure, is_final
from clipscout.transforms.records import Clip, EarlierClip, VideoRequest, VideoSpans

_OWN_FILE = re.compile(r"((?:clips|dropped)/([^/]+)/(.+)_\d+_\d+)\.(mp4|jpg|json)")
#: As `transforms.core.storage.tracks` names them.
_SEGMENT = re.compile(r"(.+/scores/[0-9a-f]+/[0-9a-f]+)-\d+-(?:\d+|end)\.parquet")
#: The folders of an output that are ours.
_OWN_FOLDERS = ("clips", "dropped", "features", "found", "scores", "videos", "videos_for_clips")
#: A clip goes before what lies beside it, so that none is left without its record.
_ENDINGS = ("mp4", "jpg", "json")

#: Why an earlier clip is not named: another one stands in its place, or its absence is final; no row asks for it; its
#: video, or the cutting of it, failed in a way that may pass.
REPLACED, NOT_ASKED, FAILED = "replaced", "not_asked", "failed"


@dataclass(frozen=True)
class Leftover:
    """Files of one earlier clip that the manifests do not name.

    Attributes:
      names: The files, relative to the output: the clip, its poster, its record, as far as they are not named.
      why: `REPLACED`, `NOT_ASKED` or `FAILED`.
    """

    names: tuple[str, ...]
    why: str

    @property
    def is_clip(self) -> bool:
        """Whether the clip itself is among them."""
        return self.names[0].endswith(".mp4")

    def may_go(self, *, a_row_failed: bool) -> bool:
        """Tells whether it may be removed.

        Args:
          a_row_failed: Whether a row of the run led nowhere; what no row asks for may be that row's.
        """
        return self.why == REPLACED or (self.why == NOT_ASKED and not a_row_failed)


def own_files(output: str) -> Iterator[str]:
    """Yields the clips, posters and records below the output that have a name of ours."""
    folders = clip_store.CLIPS, clip_store.DROPPED
    files = chain.from_iterable(filesystem.walk_files(output, f"{folder}/") for folder in folders)
    return filter(_OWN_FILE.fullmatch, files)


def earlier_clips(output: str) -> Iterator[EarlierClip]:
    """Yields a record for each of `own_files`, by which they meet what is known of their video."""
    for name in own_files(output):
        found = _OWN_FILE.fullmatch(name)
        assert found is not None
        yield EarlierClip(key=found[3], name=name)


def leftovers(records: Sequence[Any]) -> Iterator[Leftover]:
    """Yields what the manifests do not name of one video's earlier clips.

    Args:
      records: All that a run knows of the video, and its `EarlierClip`.
    """
    named = {path for clip in records if isinstance(clip, Clip) for path in clip_store.files_of(clip)}
    named |= {clip_store.dropped(path) for path in named}  # wherever it lay when it was listed
    by_clip: dict[str, list[str]] = {}
    for record in records:
        if isinstance(record, EarlierClip) and record.name not in named:
            by_clip.setdefault(record.name.rpartition(".")[0], []).append(record.name)
    if by_clip:
        reasons = _Reasons(records)
        for stem in sorted(by_clip):
            names = sorted(set(by_clip[stem]), key=_ending)
            yield Leftover(tuple(names), reasons.of(stem.split("/")[1]))


def _ending(name: str) -> int:
    return _ENDINGS.index(name.rpartition(".")[2])


class _Reasons:
    """Why clips of one video are not named, by the folder of their action."""

    def __init__(self, records: Iterable[Any]) -> None:
        self._asked: Collection[str] = ()
        self._picked, self._final, self._not_cut = False, False, set[str]()
        for record in records:
            match record:
                case VideoRequest():
                    self._asked = {naming.action_folder(action) for action in record.actions()}
                case VideoSpans():
                    self._picked = True
                case Failure(stage="DescribeClips"):  # the clip is there
                    pass
                case Failure(action=""):
                    self._final = is_final(record.code)
                case Failure():
                    self._not_cut.add(naming.action_folder(record.action))

    def of(self, folder: str) -> str:
        if folder not in self._asked:
            return NOT_ASKED
        replaced = folder not in self._not_cut if self._picked else self._final
        return REPLACED if replaced else FAILED


def remove(output: str, leftover: Leftover) -> None:
    """Removes the files of an earlier clip.

    Raises:
      StorageError: One cannot be removed; those before it are gone.
    """
    for name in leftover.names:
        filesystem.delete(filesystem.join(output, name))


def remove_empty_folders(output: str) -> None:
    """Removes the folders of actions that have no clip any more."""
    for folder in (clip_store.CLIPS, clip_store.DROPPED):
        filesystem.remove_empty_folders(filesystem.join(output, folder))


def remove_unfinished(output: str) -> None:
    """Removes what killed runs had begun and nobody needs: files half written, and segments of tracks that are whole.

    No other run may be writing. On gs:// nothing is half written, and nothing is looked for.
    """
    if filesystem.is_remote(output):
        return
    own = (filesystem.walk_files(output, f"{folder}/") for folder in _OWN_FOLDERS)  # the user may have others there
    unfinished = filesystem.walk_files(output, filesystem.UNFINISHED)
    for name in chain(unfinished, *own):
        path = os.path.join(output, name)
        if os.path.basename(name).startswith(filesystem.UNFINISHED) or _is_superseded(path):
            with contextlib.suppress(OSError):
                os.unlink(path)


def _is_superseded(path: str) -> bool:
    """Tells whether a file is a segment of a track that was completed later, from segments of another length."""
    segment = _SEGMENT.fullmatch(path)
    if segment is None:
        return False
    try:
        # a younger one is of a video that is scored again
        return os.path.getmtime(path) < os.path.getmtime(f"{segment[1]}.parquet")
    except OSError:  # there is no such track yet
        return False
