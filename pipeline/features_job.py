"""The job behind `clipscout features`: a small graph of the very stages that describe the clips of `clipscout mine`."""

import os
import tempfile
from collections.abc import Iterator, Mapping

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import create_runner

from clipscout.pipeline import closing, quiet
from clipscout.pipeline.config import Config, ConfigError, from_options
from clipscout.pipeline.faults import EXIT_FAULTY_OPTIONS
from clipscout.pipeline.options import LOCAL_RUNNER
from clipscout.pipeline.progress import Display
from clipscout.pipeline.run import EXIT_FAILED_JOB, OWN_ERRORS, complain, failed
from clipscout.pipeline.stops import Stops
from clipscout.transforms.core import tally
from clipscout.transforms.core.child.supervisor import Child, ChildError
from clipscout.transforms.core.classifiers.specs import SpecError
from clipscout.transforms.core.duplicates import references
from clipscout.transforms.core.storage import filesystem, globs, naming, strict_json
from clipscout.transforms.core.storage.copies import shared_copy
from clipscout.transforms.core.storage.matching import match_files
from clipscout.transforms.describing import DescribeClips
from clipscout.transforms.failures import Failure
from clipscout.transforms.feature_blocks import Block, WriteBlocks
from clipscout.transforms.flow import Flow
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import CandidateSpan, Clip
from clipscout.transforms.tags import FAILURES, Failed
from clipscout.transforms.tags import failed as failed_item

_MOST_TOLD = 20
#: Where a container does not tell how long it is: more frames are taken then.
_UNKNOWN_SECONDS = 10.0


def work(videos: str, output: str, texts: Mapping[str, str | None], stop: Stops, display: Display) -> int:
    """Describes videos and returns the exit status; see `pipeline.features`.

    Args:
      videos: Folders, paths or globs, separated by commas.
      output: The folder for the features; empty for the one folder that is named.
      texts: Option texts, as for `clipscout mine`.
      stop: Watches for signals.
      display: Shows progress.
    """
    quiet.log_to_stderr()
    try:
        if not output and ("," in videos or not filesystem.is_folder(videos)):
            display.close()
            complain(f"{videos!r} is no folder: name one for the features with --output")
            return EXIT_FAULTY_OPTIONS
        output = output or videos
        # the rule of a job with these options, so that the features are those of its clips
        config = from_options({**texts, "input": videos, "output": output, "duplicates": "drop"})
        assert config.describe is not None
        found = _found(config.inputs)
        with tally.doing("loading the classifier", slow_seconds=10):
            from clipscout.transforms.core.classifiers import loading

            loading.load(config.describe.load).try_out(1)
    except (ConfigError, SpecError, filesystem.StorageError) as error:
        display.close()
        complain(*str(error).splitlines())
        return EXIT_FAULTY_OPTIONS
    stop.words = "stopped; what was described is kept, and the same command goes on from there"
    try:
        failures = run(config, found)
    except (RuntimeError, *OWN_ERRORS) as error:
        if stop.number:
            raise
        display.close()
        return failed(PipelineOptions([]), error)
    model = config.describe.model()
    display.close()
    for line in failures[:_MOST_TOLD]:
        complain(line)
    if len(failures) > _MOST_TOLD:
        complain(f"... and {len(failures) - _MOST_TOLD} more")
    print(f"features   {len(found) - len(failures)} of {closing.counted(len(found), 'video')}, by {model.name}")
    print(f"reference  --reference={config.output}")
    return EXIT_FAILED_JOB if failures else 0


def _found(parts: tuple[str, ...]) -> list[str]:
    """Returns the videos that are named.

    Raises:
      StorageError: There is none.
    """
    found: list[str] = []
    for part in parts:
        if filesystem.is_folder(part):
            names = sorted(filter(globs.is_video, filesystem.walk_files(part)))
            some = [filesystem.join(part, name) for name in names]
        else:
            some = match_files(part)
        if not some:
            raise filesystem.StorageError(f"{part}: no video is there", "not_found")
        found += map(filesystem.absolute, some)
    return list(dict.fromkeys(found))


def run(config: Config, videos: list[str]) -> list[str]:
    """Describes videos; returns a line for each that could not be."""
    assert config.describe is not None
    model = config.describe.model()
    before = references.earlier(config.output, model, "", own=True).uris
    with tempfile.TemporaryDirectory(prefix="clipscout-") as folder:
        told, written = os.path.join(folder, "failures"), os.path.join(folder, "blocks")
        pipeline = beam.Pipeline(runner=create_runner(LOCAL_RUNNER), options=PipelineOptions([]))
        look = beam.ParDo(_LookAt(config)).with_outputs(FAILURES, main="clips")
        looked = pipeline | beam.Create(videos, reshuffle=False) | "LookAt" >> look
        describe = DescribeClips(config.output, config.describe, Flow(streams=True))
        described = looked.clips | "DescribeClips" >> describe
        blocks = described.clips | "WriteBlocks" >> WriteBlocks(config.output, model)
        failures = (looked[FAILURES], described.failures) | beam.Flatten()
        _ = blocks | "Uri" >> beam.Map(_uri) | "Written" >> _Tell(written)
        _ = failures | "Message" >> beam.Map(_message) | "Told" >> _Tell(told)
        pipeline.run().wait_until_finish()
        kept, lines = (strict_json.loads(filesystem.read_bytes(path)) for path in (written, told))
    for uri in set(before) - set(kept):  # of videos that are not there any more
        filesystem.delete(uri)
    return sorted(lines)


class _Tell(beam.PTransform):
    """Tells the program that waits all of some texts, in a file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def expand(self, texts: beam.PCollection) -> beam.PCollection:
        """Takes texts."""
        return texts | beam.combiners.ToList() | beam.Map(_write, self._path)


def _write(texts: list[str], path: str) -> None:
    strict_json.write(path, texts)


def _uri(block: Block) -> str:
    return block.uri


def _message(failure: Failure) -> str:
    return f"{failure.code}: {failure.message}"


class _LookAt(beam.DoFn):
    """Looks into videos, and gives each as a clip: all of it."""

    def __init__(self, config: Config) -> None:
        self._probe, self._max_pixels = config.fetch.probe, config.fetch.max_pixels
        self._metrics = StageMetrics("DescribeClips")

    def setup(self) -> None:
        self._child = Child(self._probe)

    def teardown(self) -> None:
        self._child.close()

    def process(self, uri: str) -> Iterator[Clip | Failed]:
        key = naming.file_key(uri)
        try:
            with shared_copy(uri) as path:
                *_, digested = self._child.call("child.hashing:digest", {"path": path})
                request = {"path": path, "max_pixels": self._max_pixels}
                *_, probed = self._child.call_again("video.probing:probe", request, self._probe)
        except filesystem.StorageError as error:
            yield failed_item(Failure("DescribeClips", error.code, f"{uri}: {error}", key))
            return
        except ChildError as error:
            yield failed_item(Failure("DescribeClips", error.code("decode"), f"{uri}: {error}", key))
            return
        seconds = max(probed.fields["duration_seconds"] or _UNKNOWN_SECONDS, 1e-3)
        span = CandidateSpan(key, "", 0.0, seconds, 0.0, -1, 0.0, 1, "", 0.0)
        size = probed.fields["width"], probed.fields["height"]
        yield Clip(span, uri, seconds, 0, *size, probed.fields["has_audio"], digested.fields["content"])
