"""Query files: their formats and codings, and that a bad line costs only itself."""

import codecs
import gzip
import json

import pytest

from clipscout.transforms.core.queries import query_files
from clipscout.transforms.failures import Failure
from clipscout.transforms.records import ActionQuery
from tests.core.queries.reading import only, read

GOOD = b'{"action": "after", "query": "q"}\n'
BAD_LINES = {
    "not json": (b"{oops", "bad_row", "not JSON"),
    "half json": (b'{"action": "red", "query": "q"', "bad_row", "not JSON"),
    "two objects": (GOOD.strip() * 2, "bad_row", "not JSON"),
    "list": (b'["red", "q"]', "bad_row", "not a JSON object"),
    "text": (b'"red"', "bad_row", "not a JSON object"),
    "null": (b"null", "bad_row", "not a JSON object"),
    "nested beyond reason": (b'{"a":' * 100_000, "bad_row", "not JSON"),
    "number beyond reason": (b'{"a":' + b"9" * 10_000 + b"}", "bad_row", "not JSON"),
    "latin-1": ('{"action": "café", "query": "q"}'.encode("latin-1"), "bad_encoding", "at byte 16 of the line"),
    "over-long": (b'{"action": "red", "query": "' + b"q" * (3 << 20) + b'"}', "bad_row", "more than 1048576 bytes"),
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.jsonl", '{"action": "red", "query": "a b", "note": "n"}\n'),
        ("q.ndjson", '{"action": "red", "query": "a b", "note": "n"}'),
        ("q.JSONL", '\n{"action": "red", "query": "a b", "note": "n"}\r\n\n'),
        ("q.csv", "action,query,note\nred,a b,n\n"),
        ("q.csv", "note,query,action\r\nn,a b,red\r\n"),
        ("q.csv", ' action ,query, note\n\n,,\n" red ", a b,n'),
        ("q.tsv", "action\tquery\tnote\nred\ta b\tn\n"),
        ("q.csv", "Action,QUERY,note\nred,a b,n\n"),
    ],
    ids=["jsonl", "ndjson", "blank lines", "csv", "column order", "spaces", "tsv", "case"],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["no mark", "mark"])
def test_formats_give_the_same_query(name, content, pack, mark):
    query = only(pack(mark + content.encode()), name + ".gz" if pack is gzip.compress else name)
    assert (query.action, query.query, query.extra) == ("red", "a b", {"note": "n"})


def test_gzip_is_told_by_the_content():
    assert only(gzip.compress(GOOD), "q.jsonl").action == "after"
    assert only(GOOD, "q.jsonl.gz").action == "after"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b.csv", ","),
        ("b.TSV", "\t"),
        ("gs://b/c.jsonl.gz", "json"),
        ("c.json", "json"),
        ("c.txt", None),
        ("c.gz", None),
        ("csv", None),
    ],
)
def test_format_of(name, expected):
    assert query_files.format_of(name) == expected


@pytest.mark.parametrize(("line", "code", "reason"), BAD_LINES.values(), ids=BAD_LINES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_bad_json_line_costs_itself(line, code, reason, pack):
    before, failure, after = read(pack(GOOD + line + b"\n" + GOOD))
    assert (before.row, after.row) == ("q.jsonl:1", "q.jsonl:3")
    assert (failure.code, failure.row) == (code, "q.jsonl:2")
    assert reason in failure.message
    assert len(failure.message) <= 1000


BAD_CELLS = {
    "too many cells": (b"red,q,,surplus", "bad_row", "4 cells where the header has 3"),
    "unbalanced quote": (b'red,"q', "bad_row", "not valid CSV"),
    "text after quote": (b'"red"s,q', "bad_row", "not valid CSV"),
    "no source": (b"red", "bad_row", "none"),
    "no action": (b",q,5", "bad_row", "no action"),
    "zero": (b"red,q,0", "bad_row", "max_videos is '0'"),
    "nul": (b"re\x00d,q,5", "bad_row", "q.csv:3"),
    "latin-1": ("café,q,5".encode("latin-1"), "bad_encoding", "not UTF-8"),
    "over-long": (b"red," + b"q" * (1 << 20), "bad_row", "more than 1048576 bytes"),
    "over-long cell": (b"red," + b"q" * 200_000, "bad_row", "field larger than field limit"),
}


@pytest.mark.parametrize(("line", "code", "reason"), BAD_CELLS.values(), ids=BAD_CELLS)
def test_bad_csv_line_costs_itself(line, code, reason):
    content = b"action,query,max_videos\nbefore,q,1\n" + line + b"\nafter,q,2\nlast,q,3\n"
    before, failure, after, last = read(content, "q.csv")
    assert (failure.code, failure.row) == (code, "q.csv:3")
    assert reason in failure.message
    assert [(query.action, query.row) for query in (before, after, last)] == [
        ("before", "q.csv:2"),
        ("after", "q.csv:4"),
        ("last", "q.csv:5"),
    ]


def test_unbalanced_quote_costs_its_line_also_before_quoted_cells():
    lines = ["action,query", 'red,"open', *(f'"n{number}","q ""{number}"""' for number in range(300))]
    failure, *queries = read("\n".join(lines), "q.csv")
    assert (failure.code, failure.row) == ("bad_row", "q.csv:2")
    assert [query.query for query in queries] == [f'q "{number}"' for number in range(300)]
    assert queries[-1].row == "q.csv:302"


def test_unbalanced_quote_in_the_last_line():
    before, failure = read('action,query\nred,q\nred,"open', "q.csv")
    assert (before.action, failure.row) == ("red", "q.csv:3")


def test_cell_of_several_lines_is_one_cell():
    first, second = read('action,query,note\nred,q,"one\ntwo, ""three""\n"\nblue,q,\n', "q.csv")
    assert (first.row, first.extra) == ("q.csv:2", {"note": 'one\ntwo, "three"\n'})
    assert (second.action, second.row) == ("blue", "q.csv:5")


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.csv", "action\tquery\r\nété\t滑雪\r\nbroken\r\nred\tq\r\n"),
        ("q.jsonl", '{"action": "été", "query": "滑雪"}\n{\n{"action": "red", "query": "q"}'),
    ],
)
def test_utf_16_as_spreadsheets_write_it(name, content, pack, coding):
    mark = "\ufeff".encode(coding)
    first, bad, last = read(pack(mark + content.encode(coding)), name)
    assert (first.action, first.query) == ("été", "滑雪")
    assert (bad.code, bad.row) == ("bad_row", f"{name}:{3 if name == 'q.csv' else 2}")
    assert (last.action, last.query) == ("red", "q")
    assert last.row == f"{name}:{4 if name == 'q.csv' else 3}"


def test_a_damaged_line_of_utf_16_costs_only_itself():
    line = '{"action": "red", "query": "q"}\n'
    first, bad, last = read(line.encode("utf-16") + b"\x00\xd8" + line.encode("utf-16-le") * 2)
    assert (bad.code, bad.row) == ("bad_encoding", "q.jsonl:2")
    assert (first.row, last.row) == ("q.jsonl:1", "q.jsonl:3")


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["q.json", "q.jsonl"])
def test_a_json_array_has_a_row_for_each_element(name, coding, indent):
    rows_of = [{"action": f"red {number}", "query": "q" * 1000} for number in range(2000)]  # more than a line may have
    rows_of[2] = "no object"
    found = read(json.dumps(rows_of, indent=indent).encode(coding), name)
    assert [item.row for item in found] == [f"{name}:{number}" for number in range(1, 2001)]
    assert isinstance(found[2], Failure)
    assert all(isinstance(item, ActionQuery) for place, item in enumerate(found) if place != 2)


def test_an_array_that_is_damaged_is_one_failure():
    (failure,) = read('[\n{"action": "red", "query": "q"},\n{"action": "red"\n', "q.json")
    assert (failure.code, failure.row) == ("bad_row", "q.json:1")
    assert "no row of this file can be read" in failure.message


@pytest.mark.parametrize("deep", [21, 600, 100_000])
@pytest.mark.parametrize("bracket", ["[]", "{}"])
def test_a_row_that_is_nested_without_end_fails_alone(deep, bracket):
    opening = "[" if bracket == "[]" else '{"a":'
    nested = opening * deep + "1" + bracket[1] * deep
    bad, good = read(f'{{"action": "red", "query": "q", "x": {nested}}}\n'.encode() + GOOD)
    assert (bad.code, bad.row) == ("bad_row", "q.jsonl:1")
    assert "nested more than 20 deep" in bad.message
    assert good.action == "after"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_json_does_not_have_reach_no_manifest(number):
    bad, good = read(f'{{"action": "red", "query": "q", "x": {number}}}\n'.encode() + GOOD)
    assert bad.code == "bad_row"
    assert good.action == "after"


@pytest.mark.parametrize("part", [0.3, 0.7], ids=["early", "late"])
def test_truncated_gzip_keeps_what_came_before(part):
    lines = [json.dumps({"action": f"red {number}", "query": f"q {number * 7919 % 1000}"}) for number in range(5000)]
    content = gzip.compress("\n".join(lines).encode())
    *queries, failure = read(content[: int(len(content) * part)], "q.jsonl.gz")
    assert 0 < len(queries) < 5000
    assert [query.action for query in queries] == [f"red {number}" for number in range(len(queries))]
    assert (failure.code, failure.row) == ("unreadable_queries", f"q.jsonl.gz:{len(queries)}")


def test_damaged_gzip_is_a_failure():
    content = bytearray(gzip.compress(GOOD * 50))
    content[-12:-8] = b"\xff\xff\xff\xff"
    assert read(bytes(content))[-1].code == "unreadable_queries"


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", codecs.BOM_UTF8, gzip.compress(b"")], ids=["0", "blank", "mark", "gz"]
)
@pytest.mark.parametrize("name", ["q.jsonl", "q.csv"])
def test_empty_file_gives_nothing(content, name):
    assert read(content, name) == []


def test_unknown_format_is_a_failure():
    (failure,) = read(GOOD, "q.txt")
    assert failure.code == "unreadable_queries"
    assert "q.txt" in failure.message
    assert ".jsonl" in failure.message


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=,", "sep=\t"])
def test_excels_line_before_the_header_is_none(line):
    (query,) = read(f"{line}\r\naction;query\r\nred;a\r\n", "q.csv")
    assert (query.action, query.query, query.row) == ("red", "a", "q.csv:3")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.csv", 'action;path;classes\nred;a.mp4;"x;y"\n'),
        ("q.csv", '"action";"path";"classes"\n"red";"a.mp4";"x;y"\n'),
        ("q.csv", 'action;path;classes;note, or two\nred;a.mp4;"x;y";x, y\n'),
        ("q.csv", "action\tpath\tclasses\nred\ta.mp4\tx;y\n"),
        ("q.csv", "action|path|classes\nred|a.mp4|x;y\n"),
        ("q.tsv", "action,path,classes\nred,a.mp4,x;y\n"),
    ],
    ids=["semicolons", "quoted", "with commas", "tabs", "bars", "commas"],
)
def test_the_header_tells_what_separates_columns(name, content):
    query = only(content, name)
    assert (query.action, query.path, query.classes) == ("red", "a.mp4", ("x", "y"))
