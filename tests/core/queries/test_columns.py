"""Columns of query files: what a row may be, and which column a misspelled one was meant to be."""

import codecs
import json

import pytest

from clipscout.transforms.core.queries import query_files
from clipscout.transforms.failures import Failure
from clipscout.transforms.records import ActionQuery
from tests.core.queries.reading import URL, only, read

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
    "min_scores": (
        {"action": "red", "query": "q", "min_scores": 0.3},
        "did you mean 'min_score' by the column 'min_scores'?",
    ),
    "minscore": (
        {"action": "red", "query": "q", "MinScore": 0.3},
        "did you mean 'min_score' by the column 'MinScore'?",
    ),
    "two": (
        {"actions": "red", "ulr": URL},
        "did you mean 'action' by the column 'actions' and 'url' by the column 'ulr'?",
    ),
}
GOOD = b'{"action": "after", "query": "q"}\n'


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
        ({"action": "red", "query": "q", "min_score": " 0.25"}, {"min_score": 0.25, "extra": {}}),
        ({"action": "red", "query": "q", "min_score": 0}, {"min_score": 0.0}),
        ({"action": "red", "query": "q", "win_score": 3}, {"min_score": None, "extra": {"win_score": 3}}),
        ({"action": "red", "label": "x", "query": "q"}, {"action": "red", "extra": {"label": "x"}}),
        ({"action": "滑雪", "query": "été"}, {"action": "滑雪", "query": "été"}),
        (
            {"action": "red", "query": "q", "split": "val", "Deep": {"n": [1, 2.5, True]}, "empty": ""},
            {"extra": {"split": "val", "Deep": {"n": [1, 2.5, True]}}},
        ),
    ],
    ids=[
        "label", "youtube_id", "id as url", "url", "path", "empty sources", "classes list", "classes text",
        "defaults", "max_videos", "max_videos text",
        "min_score", "min_score 0", "a score of the user's", "label beside action", "unicode", "extra",
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
    "min_score text": ({"action": "red", "query": "q", "min_score": "high"}, "min_score is 'high', expected a number"),
    "min_score negative": ({"action": "red", "query": "q", "min_score": -0.1}, "min_score is -0.1"),
    "min_score nan": ({"action": "red", "query": "q", "min_score": "nan"}, "min_score is 'nan'"),
    "min_score truth": ({"action": "red", "query": "q", "min_score": True}, "min_score is True"),
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
