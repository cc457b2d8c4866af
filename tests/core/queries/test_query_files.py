"""Query files: what a row may be, and that a bad line costs only itself."""

import codecs
import gzip
import io
import json

import pytest

from clipscout.transforms.core.queries import query_files
from clipscout.transforms.failures import Failure
from clipscout.transforms.records import ActionQuery

URL = "https://www.youtube.com/watch?v=-8Appls4ZFg"
GOOD = b'{"action": "after", "query": "q"}\n'


def read(content, name="q.jsonl"):
    """Returns all that a file gives."""
    content = content if isinstance(content, bytes) else content.encode()
    return list(query_files.read(io.BufferedReader(io.BytesIO(content)), name))


def only(content, name="q.jsonl"):
    """Returns the one query that a file gives."""
    (query,) = read(content, name)
    assert isinstance(query, ActionQuery), query
    return query


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


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"label": "red", "query": "q"}, {"action": "red", "query": "q"}),
        ({"action": "red", "youtube_id": "-8Appls4ZFg"}, {"url": URL}),
        ({"action": "red", "url": "-8Appls4ZFg"}, {"url": URL}),
        ({"action": "red", "url": "HTTP://host/a?b#c"}, {"url": "HTTP://host/a?b#c"}),
        ({"action": "red", "path": "/a b/*.mp4"}, {"path": "/a b/*.mp4", "url": "", "query": ""}),
        ({"action": "red", "query": "q", "url": "", "path": None}, {"query": "q", "url": "", "path": ""}),
        ({"action": "red", "query": "q", "classes": ["crane bird", " crane "]}, {"classes": ("crane bird", "crane")}),
        ({"action": "red", "query": "q", "classes": "a, b;; c ;"}, {"classes": ("a, b", "c")}),
        ({"action": "red", "query": "q"}, {"classes": (), "max_videos": None, "extra": {}}),
        ({"action": "red", "query": "q", "max_videos": 3}, {"max_videos": 3}),
        ({"action": "red", "query": "q", "max_videos": " 12"}, {"max_videos": 12}),
        ({"action": "red", "label": "x", "query": "q"}, {"action": "red", "extra": {"label": "x"}}),
        ({"action": "滑雪", "query": "été"}, {"action": "滑雪", "query": "été"}),
        (
            {"action": "red", "query": "q", "split": "val", "Deep": {"n": [1, 2.5, True]}, "empty": ""},
            {"extra": {"split": "val", "Deep": {"n": [1, 2.5, True]}}},
        ),
    ],
    ids=[
        "label", "youtube_id", "id as url", "url", "path", "empty sources", "classes list", "classes text",
        "defaults", "max_videos", "max_videos text", "label beside action", "unicode", "extra",
    ],
)  # fmt: skip
def test_columns(fields, expected):
    query = only(json.dumps(fields))
    assert {name: getattr(query, name) for name in expected} == expected


def test_kinetics_file_as_published():
    content = (
        "label,youtube_id,time_start,time_end,split\n"
        "testifying,---QUuC4vJs,84,94,validate\n"
        '"eating, spaghetti",--3ouPhoy2A,20,30,validate\n'
    )
    first, second = read(content, "kinetics/validate.csv")
    assert first == ActionQuery(
        action="testifying",
        row="kinetics/validate.csv:2",
        url="https://www.youtube.com/watch?v=---QUuC4vJs",
        extra={"time_start": "84", "time_end": "94", "split": "validate"},
    )
    assert (second.action, second.row) == ("eating, spaghetti", "kinetics/validate.csv:3")


BAD_OBJECTS = {
    "no action": ({"query": "q"}, "no action"),
    "blank action": ({"action": "  ", "query": "q"}, "no action"),
    "no source": ({"action": "red"}, "none"),
    "two sources": ({"action": "red", "query": "q", "path": "/a.mp4"}, "this one has query and path"),
    "three sources": ({"action": "red", "query": "q", "path": "/a", "url": URL}, "this one has query and url and path"),
    "action is a number": ({"action": 7, "query": "q"}, "action is 7"),
    "query is a list": ({"action": "red", "query": ["q"]}, "query is ['q']"),
    "file address": ({"action": "red", "url": "file:///etc/passwd"}, "file:///etc/passwd"),
    "ftp address": ({"action": "red", "url": "ftp://host/a.mp4"}, "ftp://host/a.mp4"),
    "search prefix": ({"action": "red", "url": "ytsearch5:red"}, "ytsearch5:red"),
    "no host": ({"action": "red", "url": "http:///a.mp4"}, "http:///a.mp4"),
    "no scheme": ({"action": "red", "url": "www.youtube.com"}, "www.youtube.com"),
    "bad host": ({"action": "red", "url": "http://[::1/a.mp4"}, "http://[::1/a.mp4"),
    "short id": ({"action": "red", "youtube_id": "-8Appls4ZF"}, "-8Appls4ZF"),
    "control character": ({"action": "re\x00d", "query": "q"}, "control character"),
    "newline in path": ({"action": "red", "path": "/a\n/b"}, "control character"),
    "escape in query": ({"action": "red", "query": "\x1b[2J"}, "control character"),
    "half a surrogate pair": ({"action": "red\ud800", "query": "q"}, "surrogate"),
    "half a surrogate pair in extra": ({"action": "red", "query": "q", "note": "\udfff"}, "surrogate"),
    "endless text": ({"action": "red", "query": "q" * 2001}, "2001 characters"),
    "max_videos 0": ({"action": "red", "query": "q", "max_videos": 0}, "max_videos is 0"),
    "max_videos negative": ({"action": "red", "query": "q", "max_videos": -1}, "max_videos is -1"),
    "max_videos without end": ({"action": "red", "query": "q", "max_videos": 10_001}, "from 1 to 10000"),
    "max_videos text": ({"action": "red", "query": "q", "max_videos": "many"}, "max_videos is 'many'"),
    "max_videos fraction": ({"action": "red", "query": "q", "max_videos": 1.5}, "max_videos is 1.5"),
    "max_videos truth": ({"action": "red", "query": "q", "max_videos": True}, "max_videos is True"),
    "classes is a number": ({"action": "red", "query": "q", "classes": 5}, "classes is 5"),
    "classes hold a number": ({"action": "red", "query": "q", "classes": ["a", 5]}, "classes is ['a', 5]"),
}


@pytest.mark.parametrize(("fields", "reason"), BAD_OBJECTS.values(), ids=BAD_OBJECTS)
def test_bad_json_row_costs_itself(fields, reason):
    failure, query = read(json.dumps(fields).encode() + b"\n" + GOOD)
    assert isinstance(failure, Failure)
    assert (failure.stage, failure.code, failure.row) == ("ReadQueries", "bad_row", "q.jsonl:1")
    assert failure.message.startswith("q.jsonl:1: ")
    assert reason in failure.message
    assert query == ActionQuery(action="after", query="q", row="q.jsonl:2")


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


@pytest.mark.parametrize(
    "content",
    [
        "action,query,,\nred,q,,\n",
        "action,query\nred,q,,, \n",
        "action,,query\nred,,q\n",
    ],
)
def test_empty_columns_of_a_spreadsheet_are_none(content):
    query = only(content, "q.csv")
    assert (query.action, query.query, query.extra) == ("red", "q", {})


@pytest.mark.parametrize(
    ("content", "reason"),
    [("action,query\nred,q,x\n", "3 cells"), ("action,,query\nred,x,q\n", "a column without a name")],
)
def test_a_cell_without_a_column_is_a_failure(content, reason):
    (failure,) = read(content, "q.csv")
    assert (failure.code, failure.row) == ("bad_row", "q.csv:2")
    assert reason in failure.message


@pytest.mark.parametrize("number", ["5.0", "5", 5, 5.0])
def test_a_spreadsheets_whole_numbers(number):
    assert only(json.dumps({"action": "red", "query": "q", "max_videos": number})).max_videos == 5


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


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b'"action,path\n', "not valid CSV: unexpected end"),
        (b"action\xff,path\n", "it is not UTF-8"),
        ("action,path\n".encode("utf-16-le"), "UTF-16 without its mark"),
        (codecs.BOM_UTF32_LE + "action,path\n".encode("utf-32-le"), "UTF-32"),
        (b"action,path\rred,a.mp4\r", "new-line character"),
    ],
    ids=["quote", "encoding", "no mark", "UTF-32", "old Mac"],
)
def test_a_header_that_cannot_be_read_stops_the_file(tmp_path, header, why):
    (tmp_path / "q.csv").write_bytes(header + b"red,a.mp4\nred,b.mp4\n")
    with open(tmp_path / "q.csv", "rb") as stream:
        found = list(query_files.read(stream, "q.csv"))
    assert all(isinstance(item, Failure) for item in found)
    assert "the header cannot be read (" in found[-1].message
    assert why in found[-1].message


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        ("action,query,query\nred,a,b\n", "q.csv", "two columns 'query', and in this row they differ"),
        ("action,query,note,note\nred,a,b,c\n", "q.csv", "two columns 'note'"),
        ("Action,ACTION,query\nred,blue,a\n", "q.csv", "both 'Action' and 'ACTION' are the column 'action'"),
        ('{"action": "red", "Query": "a", "query": "b"}', "q.jsonl", "both 'Query' and 'query' are"),
        ('{"action": "red", "query": "a", "query": "b"}', "q.jsonl", "the name 'query' stands there twice"),
    ],
)
def test_of_two_values_none_is_dropped_unseen(content, name, reason):
    (failure,) = read(content, name)
    assert failure.code == "bad_row"
    assert reason in failure.message


def test_columns_of_one_name_that_agree_are_one():
    (query,) = read("action,query,query,note,note\nred,a,,,n\n", "q.csv")
    assert (query.query, query.extra) == ("a", {"note": "n"})


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=,", "sep=\t"])
def test_excels_line_before_the_header_is_none(line):
    (query,) = read(f"{line}\r\naction;query\r\nred;a\r\n", "q.csv")
    assert (query.action, query.query, query.row) == ("red", "a", "q.csv:3")


NEAR_MISSES = {
    "actions": (
        {"actions": "red", "query": "q"},
        "the row has no action; did you mean 'action' by the column 'actions'?",
    ),
    "labels": ({"labels": "red", "query": "q"}, "did you mean 'label' by the column 'labels'?"),
    "clases": ({"action": "red", "query": "q", "clases": "a"}, "did you mean 'classes' by the column 'clases'?"),
    "youtubeid": (
        {"action": "red", "youtubeid": "-8Appls4ZFg"},
        "did you mean 'youtube_id' by the column 'youtubeid'?",
    ),
    "youtube id": (
        {"action": "red", "YouTube ID": "-8Appls4ZFg"},
        "did you mean 'youtube_id' by the column 'YouTube ID'?",
    ),
    "paths": ({"action": "red", "paths": "/a.mp4"}, "did you mean 'path' by the column 'paths'?"),
    "queries": ({"action": "red", "queries": "q"}, "did you mean 'query' by the column 'queries'?"),
    "max_video": (
        {"action": "red", "query": "q", "max_video": 3},
        "did you mean 'max_videos' by the column 'max_video'?",
    ),
    "two": (
        {"actions": "red", "ulr": URL},
        "did you mean 'action' by the column 'actions' and 'url' by the column 'ulr'?",
    ),
}


@pytest.mark.parametrize(("fields", "reason"), NEAR_MISSES.values(), ids=NEAR_MISSES)
def test_a_misspelled_column_is_named_with_the_one_that_is_meant(fields, reason):
    failure, query = read(json.dumps(fields).encode() + b"\n" + GOOD)
    assert failure.code == "bad_row"
    assert failure.message.endswith(reason)
    assert query.action == "after"


@pytest.mark.parametrize(
    "extra",
    [
        {"split": "val", "time_start": 84, "time_end": 94},
        {"class": "sport", "label": "x", "labels": "x", "paths": "x", "urls": "x", "actions": "x"},
        {"note": "", "id": 7, "caption": "c", "title": "t", "duration": 3, "videos": 2},
    ],
    ids=["kinetics", "alike but not lacking", "others"],
)
def test_columns_of_the_users_own_are_no_fault(extra):
    query = only(json.dumps({"action": "red", "query": "q", **extra}))
    assert query.extra == {name: value for name, value in extra.items() if value}


def test_an_empty_near_miss_is_no_hint():
    (failure,) = read("action,query,paths\nred,,\n", "q.csv")
    assert "did you mean" not in failure.message


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


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("file:///a%20b/c.mp4", "/a b/c.mp4"),
        ("FILE:///a/*.mp4", "/a/*.mp4"),
        ("file://localhost/a.mp4", "/a.mp4"),
        ("file:///caf%E9.mp4", "/caf\udce9.mp4"),
        ("gs://bucket/a.mp4", "gs://bucket/a.mp4"),
        ("/a/[b]/c:d.mp4", "/a/[b]/c:d.mp4"),
    ],
)
def test_a_path_may_be_a_file_address(path, expected):
    assert only(json.dumps({"action": "red", "path": path})).path == expected


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"path": "https://example.org/a.mp4"}, "a web address belongs in the column url"),
        ({"path": "s3://bucket/a.mp4"}, "expected a local path or gs://BUCKET/..."),
        ({"path": "file://other/a.mp4"}, "a file of the machine 'other'"),
        ({"url": "/videos/a.mp4"}, "a file belongs in the column path"),
        ({"url": "file:///videos/a.mp4"}, "a file belongs in the column path"),
        ({"url": "gs://bucket/a.mp4"}, "a file belongs in the column path"),
    ],
)
def test_an_address_in_the_wrong_column_tells_the_right_one(fields, reason):
    (failure,) = read(json.dumps({"action": "red", **fields}))
    assert reason in failure.message


def test_a_semicolon_in_a_header_of_ours_is_part_of_a_name():
    query = only("action,query,what;where\nred,q,x\n", "q.csv")
    assert query.extra == {"what;where": "x"}
