"""The job within a Beam pipeline of one's own: the same checks, the same graph, the same record in the output."""

import _thread
import contextlib
import os
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.typehints.decorators import no_annotations

from clipscout.pipeline import cloud, graph, preflight, run
from clipscout.pipeline.api import OptionsError, arguments, query_file
from clipscout.pipeline.config import Config, ConfigError
from clipscout.pipeline.results import Results
from clipscout.transforms.core.storage import leases


class Job:
    """A checked job; a context in which the output folder is this job's.

    Args:
      queries: See `clipscout.mine`; another machine reads paths on gs:// only.
      output: The output folder, local or gs://.
      **options: See `clipscout.mine`, and those of the runner: `runner="DataflowRunner"`, `project=...`.

    Attributes:
      config: All settings, typed: those of each stage are a field of it.
      beam_options: For the pipeline; the graph's shape follows from the runner and the workers that they name.
    """

    config: Config
    beam_options: PipelineOptions

    def __init__(self, queries: Any, output: str | os.PathLike[str], **options: Any) -> None:
        self._queries, self._output, self._options = queries, os.fspath(output), options
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Job":
        """Checks everything, takes the lease on the output and records the settings there.

        Raises:
          OptionsError: An option, or what it names, cannot be used, or another run writes to the output.
        """
        with contextlib.ExitStack() as stack:
            path = stack.enter_context(query_file(self._queries))
            try:
                self.config, self.beam_options = run.configure(arguments(path, self._output, self._options))
                faults = preflight.look(self.config, self.beam_options).faults
            except ConfigError as error:
                faults = [*error.faults, *preflight.check_rest(error)]
            if faults:
                raise OptionsError(list(map(str, faults)))
            try:
                stack.enter_context(leases.Lease(self.config.output, _thread.interrupt_main))
            except leases.HeldError as error:
                raise OptionsError([f"--output: {error}"]) from None
            if self.config.dataflow:
                cloud.settle(self.config, self.beam_options)
            preflight.begin(self.config)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def results(self) -> Results:
        """What the output holds, once the pipeline has ended."""
        return Results(self.config.output)


class Mine(beam.PTransform):
    """All stages of a job, at the root of a pipeline.

    Args:
      job: A job whose context is entered.
    """

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._config = job.config

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, root: beam.pvalue.PBegin) -> graph.Outputs:
        """Returns the collections that are worth going on with: spans, clips, failures, the summary."""
        return graph.build(root, self._config)
