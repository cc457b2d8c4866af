"""WriteBlocks: the features of clips in files of some thousand, which are what is compared."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from clipscout.transforms.core.duplicates import feature_files
from clipscout.transforms.core.duplicates.feature_files import FeatureFileError, FeatureModel, Features
from clipscout.transforms.core.storage import filesystem, kept, naming
from clipscout.transforms.describing import rows_of
from clipscout.transforms.grouping import packed, unpacked
from clipscout.transforms.records import Clip

#: Rows of a block; two of them are in memory at once. Features of 1,280 numbers: 20 MB.
BLOCK_ROWS = 4096
#: Where each read waits for an answer.
READERS = 16


@dataclass(frozen=True, slots=True)
class Block:
    """A file of features of one action.

    Attributes:
      action: The action.
      uri: The file.
      rows: How many clips it has.
    """

    action: str
    uri: str
    rows: int


def _block_of(clip: Clip, counts: Mapping[str, int], rows: int) -> tuple[tuple[str, int], bytes]:
    action = clip.span.action
    blocks = -(-counts[action] // rows)
    return (action, int(clip.id, 16) % blocks), packed(clip)


class _WriteBlock(beam.DoFn):
    """Gathers the features of some clips in one file; they lie on storage, so that no shuffle holds them."""

    def __init__(self, output: str, model: FeatureModel) -> None:
        self._output, self._model = output, model

    def process(self, keyed: tuple[tuple[str, int], Iterable[bytes]]) -> Iterator[Block]:
        action, clips = keyed[0][0], {clip.id: clip for clip in unpacked(keyed[1])}  # of a bundle that ran twice once
        named = [clips[name] for name in sorted(clips)]
        what = [f"{clip.id} {clip.sha256} {clip.path} {clip.span.score}" for clip in named]
        name = naming.digest("\n".join(what), 20) + feature_files.ENDING
        uri = filesystem.join(self._model.block_folder(self._output, action), name)
        if not self._is_there(uri):  # else an earlier run had the very same
            with ThreadPoolExecutor(READERS if filesystem.is_remote(self._output) else 1) as pool:
                stored = list(pool.map(self._stored, named))
            block = rows_of(named, [int(one.frames[0]) for one in stored], [one.vectors[0] for one in stored])
            feature_files.write(uri, self._model, block)
        yield Block(action, uri, len(named))

    def _is_there(self, uri: str) -> bool:
        try:
            return filesystem.exists(uri) and bool(len(feature_files.read(uri, self._model)))
        except FeatureFileError:
            kept.tell_damaged(uri)
            return False

    def _stored(self, clip: Clip) -> Features:
        return feature_files.read(self._model.clip_file(self._output, clip.sha256), self._model)


def bins_of(blocks: Iterable[Block], rows: int) -> list[tuple[str, ...]]:
    """Returns the files of blocks in bins of at most so many rows together, where one alone has no more."""
    bins: list[tuple[int, list[str]]] = []
    for block in sorted(blocks, key=lambda one: one.uri):
        if not bins or bins[-1][0] + block.rows > rows:
            bins.append((0, []))
        count, uris = bins.pop()
        bins.append((count + block.rows, [*uris, block.uri]))
    return [tuple(uris) for _, uris in bins]


def pairs_of(bins: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Yields each bin with about half of the others behind it: each two meet once, and all have as much to do."""
    count = len(bins)
    for place in range(count):
        ahead = (count - 1) // 2 + (count % 2 == 0 and place < count // 2)
        yield tuple(bins[(place + step) % count] for step in range(ahead + 1))


@dataclass
class WriteBlocks(beam.PTransform):
    """Writes features to files of some thousand of one action each: what is compared, by this run and by later ones.

    Attributes:
      output: The output folder.
      model: What made the features.
      rows: Most rows of a file, about.
    """

    output: str
    model: FeatureModel
    rows: int = BLOCK_ROWS

    def expand(self, clips: beam.PCollection) -> beam.PCollection:
        """Takes clips whose features are stored, returns Block."""
        counts = clips | "Actions" >> beam.Map(_action_of) | "CountClips" >> beam.combiners.Count.PerElement()
        return (
            clips
            | "Block" >> beam.Map(_block_of, beam.pvalue.AsDict(counts), self.rows)
            | "ByBlock" >> beam.GroupByKey()
            | "WriteBlock" >> beam.ParDo(_WriteBlock(self.output, self.model))
        )


def _action_of(clip: Clip) -> str:
    return clip.span.action
