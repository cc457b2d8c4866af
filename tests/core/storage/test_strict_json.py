"""JSON that any reader takes."""

import json
import math

import pytest

from clipscout.transforms.core.results import manifests
from clipscout.transforms.core.storage import strict_json


def refuse(name):
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_null(value):
    row = {"a": value, "b": [1.5, {"c": (value,)}], "d": {value: 1}, "e": "NaN", "f": 10**30}
    for text in (strict_json.text(row), strict_json.text(row, indent=2), *manifests.json_lines([row])):
        read = json.loads(text, parse_constant=refuse)
        assert read == {"a": None, "b": [1.5, {"c": [None]}], "d": {"null": 1}, "e": "NaN", "f": 10**30}


def test_names_that_are_not_utf_8_are_text_all_the_same(tmp_path):
    row = {"row": "\udcff.csv:1", "asks": [{"\ud800": "caf\u00e9"}]}
    strict_json.write(str(tmp_path / "a.json"), row)
    for text in (strict_json.text(row), *manifests.json_lines([row]), (tmp_path / "a.json").read_bytes()):
        assert strict_json.loads(text) == {"row": "\\udcff.csv:1", "asks": [{"\\ud800": "caf\u00e9"}]}


def test_other_values_are_as_json_writes_them(tmp_path):
    value = {"a": [1, 2.5, None, True, "\u00e9"], "b": {"c": {}}}
    assert strict_json.text(value) == json.dumps(value, ensure_ascii=False)
    strict_json.write(str(tmp_path / "a.json"), value, indent=1)
    assert (tmp_path / "a.json").read_bytes() == json.dumps(value, indent=1, ensure_ascii=False).encode()
