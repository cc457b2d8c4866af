"""What an output folder holds, as tables and as something to look at."""

import base64
import html
import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clipscout.pipeline import closing
from clipscout.transforms.core.storage import filesystem, manifest_files, strict_json

_MOST_SHOWN = 24
_STYLE = "display:inline-block;width:240px;margin:0 8px 12px 0;vertical-align:top;font-size:12px;overflow-wrap:anywhere"


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
        lines: list[str] = []
        for data in self._files("failures", manifest_files.JSON_LINES):
            lines += data.decode().split("\n")  # splitlines would split at what a text may hold
        return [strict_json.loads(line) for line in lines if line]

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json: the funnel, failures by code, clips and scores per action.

        Raises:
          StorageError: There are no results.
        """
        return dict(json.loads(filesystem.read_bytes(filesystem.join(self.output, "summary.json"))))

    def __str__(self) -> str:
        return "\n".join(closing.lines(self.output, self.summary)).strip("\n")

    def show(self, limit: int = _MOST_SHOWN) -> None:
        """Shows the strongest spans: in a notebook with their pictures, elsewhere as lines."""
        try:
            from IPython import get_ipython
            from IPython.display import HTML, display
        except ImportError:
            shell = None
        else:
            shell = get_ipython()
        if shell is not None and hasattr(shell, "kernel"):
            display(HTML(self._html(limit)))
            return
        for span in self._strongest(limit):
            times = f"{span['start_seconds']:8.2f} - {span['end_seconds']:8.2f} s"
            line = f"{span['score']:.3f}  {times}  {span['action']}  {span['clip'] or span['source']}"
            print(closing.printable(line))

    def _repr_html_(self) -> str:
        return self._html(_MOST_SHOWN)

    def _strongest(self, limit: int) -> list[dict[str, Any]]:
        return self.spans.sort_by([("score", "descending"), ("id", "ascending")]).slice(0, limit).to_pylist()

    def _html(self, limit: int) -> str:
        """Returns the strongest spans as HTML, their posters within it; what the web said of them is text in it."""
        cells = [f"<pre>{html.escape(str(self))}</pre>"]
        for span in self._strongest(limit):
            name = html.escape(str(span["action"]))
            where = html.escape(str(span["clip"] or span["source"]))
            times = f"{span['start_seconds']:.2f} - {span['end_seconds']:.2f} s, score {span['score']:.3f}"
            caption = f"<b>{name}</b><br>{times}<br>{where}"
            cells.append(f'<div style="{_STYLE}">{self._poster(span["poster"])}{caption}</div>')
        return "".join(cells)

    def _poster(self, name: str) -> str:
        try:
            data = filesystem.read_bytes(filesystem.join(self.output, name)) if name else b""
        except filesystem.StorageError:
            data = b""
        text = base64.b64encode(data).decode()
        return f'<img src="data:image/jpeg;base64,{text}" alt="" style="width:100%"><br>' if data else ""

    def _table(self, manifest: str) -> pa.Table:
        # threads of pyarrow that still run when a short program ends abort it ("terminate called without ...")
        files = [pq.ParquetFile(pa.BufferReader(data)) for data in self._files(manifest, manifest_files.PARQUET)]
        return pa.concat_tables([file.read(use_threads=False) for file in files])

    def _files(self, manifest: str, ending: str) -> list[bytes]:
        names = manifest_files.find(self.output, manifest, ending)
        if not names:
            where = filesystem.join(self.output, manifest + ending)
            raise filesystem.StorageError(f"{where}: no results are there; no job has ended in this folder")
        return [filesystem.read_bytes(filesystem.join(self.output, name)) for name in names]
