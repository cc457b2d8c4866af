"""What an output folder holds, as tables and as something to look at."""

import html
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clipscout.pipeline import closing, shown
from clipscout.transforms.core.storage import filesystem, manifest_files

_MOST_SHOWN = 24


@dataclass(frozen=True)
class Results:
    """What a finished job left in its output folder. Each attribute is read when it is asked for.

    Attributes:
      output: The output folder, local or gs://.
    """

    output: str

    @property
    def spans(self) -> pa.Table:
        """A row per span, strongest first within a video and action; `.to_pandas()` makes a DataFrame of it.

        Raises:
          StorageError: There are no results.
        """
        return self._table("spans")

    @property
    def videos(self) -> pa.Table:
        """A row per requested video, with how it ended.

        Raises:
          StorageError: There are no results.
        """
        return self._table("videos")

    @property
    def failures(self) -> list[dict[str, Any]]:
        """What did not become a result: stage, code, category, message, file and line.

        Raises:
          StorageError: There are no results.
        """
        return list(manifest_files.rows(self.output, "failures"))

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json: the funnel, failures by code, clips and scores per action.

        Raises:
          StorageError: There are no results.
        """
        return dict(json.loads(filesystem.read_bytes(filesystem.join(self.output, "summary.json"))))

    def __str__(self) -> str:
        return "\n".join(closing.lines(self.output, self.summary)).strip("\n")

    def show(self, span: Mapping[str, Any] | str | None = None, limit: int = _MOST_SHOWN) -> None:
        """Shows the strongest spans, or one of them: in a notebook with pictures and curves, elsewhere as lines.

        Args:
          span: A row of `spans` (or its id): it is shown with its clip, ready to play. None is for the strongest.
          limit: Most spans that are shown.

        Raises:
          KeyError: No span has that id.
          StorageError: There are no results.
        """
        chosen = [self._span(span)] if span is not None else self._strongest(limit)
        shell = _shell()
        if shell is None:
            for row in chosen:
                times = f"{row['start_seconds']:8.2f} - {row['end_seconds']:8.2f} s"
                line = f"{row['score']:.3f}  {times}  {row['action']}  {row['clip'] or row['source']}"
                print(closing.printable(line))
            return
        from IPython.display import HTML, display

        display(HTML(shown.one(self.output, chosen[0]) if span is not None else self._html(limit)))

    def _repr_html_(self) -> str:
        return self._html(_MOST_SHOWN)

    def _strongest(self, limit: int) -> list[dict[str, Any]]:
        return self.spans.sort_by([("score", "descending"), ("id", "ascending")]).slice(0, limit).to_pylist()

    def _html(self, limit: int) -> str:
        return f"<pre>{html.escape(str(self))}</pre>{shown.grid(self.output, self._strongest(limit))}"

    def _span(self, span: Mapping[str, Any] | str) -> dict[str, Any]:
        """Returns the row of a span, of which another row or the id is given."""
        name = span if isinstance(span, str) else span["id"]
        for row in self.spans.to_pylist():
            if row["id"] == name:
                return dict(row)
        raise KeyError(f"no span of {self.output} has the id {name!r}")

    def _table(self, manifest: str) -> pa.Table:
        # threads of pyarrow that still run when a short program ends abort it ("terminate called without ...")
        files = [pq.ParquetFile(pa.BufferReader(data)) for data in self._files(manifest, manifest_files.PARQUET)]
        return pa.concat_tables([file.read(use_threads=False) for file in files])

    def _files(self, manifest: str, ending: str) -> list[bytes]:
        names = manifest_files.find(self.output, manifest, ending)
        if not names:
            raise manifest_files.missing(self.output, manifest + ending)
        return [filesystem.read_bytes(filesystem.join(self.output, name)) for name in names]


def show(output: "Results | str | os.PathLike[str]", span: Mapping[str, Any] | str | None = None) -> None:
    """Shows what an output holds, or one span of it; see `Results.show`.

    Args:
      output: The output folder, or its results.
      span: A row of its spans, or its id; None is for the strongest spans.
    """
    (output if isinstance(output, Results) else Results(os.fspath(output))).show(span)


def _shell() -> Any:
    """Returns the notebook that this process is the kernel of; None elsewhere."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    return shell if hasattr(shell, "kernel") else None
