"""metadata.json is made from the options, says nothing that the job would not take, and is known to the API."""

import datetime
import json
import re
from decimal import Decimal

import pytest
from google.cloud import dataflow_v1beta3 as api
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from clipscout.pipeline.beam_options import beam_parser
from clipscout.pipeline.config import PRESETS, ConfigError, from_options
from clipscout.pipeline.options import OPTIONS
from clipscout.pipeline.values import Values
from clipscout.transforms.core.storage import filesystem
from clipscout.transforms.failures import CODES
from templates import describe

METADATA = json.loads(describe.METADATA_FILE.read_text())
PARAMETERS = {parameter["name"]: parameter for parameter in METADATA["parameters"]}
OWN = [option for option in OPTIONS if option.name in PARAMETERS]
NUMBERS = [option for option in OWN if option.kind in ("integer", "number")]
CHOICES = [option for option in OWN if "|" in option.kind]
FLAGS = [option for option in OWN if option.kind == "flag"]
BASE = {"input": "gs://bucket/queries.csv", "output": "gs://bucket/out", "runner": "DataflowRunner"}


def name_of(option):
    return option.name


def passes(name, text):
    """Tells whether a launch with this value would be let through."""
    return all(re.search(regex, text) for regex in PARAMETERS[name].get("regexes", ()))


def faults_of(**given_options):
    try:
        from_options({**BASE, **given_options})
    except ConfigError as error:
        return list(map(str, error.faults))
    return []


def number_is_read(option, text):
    values = Values({option.name: text}, [])
    values.number(option.name)
    return not values.faults


def test_the_file_is_what_the_options_make_of_it():
    assert describe.METADATA_FILE.read_text() == describe.text(describe.metadata()), (
        "renew it: python templates/describe.py metadata > templates/metadata.json"
    )


def test_every_option_is_a_parameter_unless_it_is_left_out_for_a_reason():
    options = {option.name for option in OPTIONS}
    assert options - set(PARAMETERS) == set(describe.LEFT_OUT) == {"runner", "workers", "progress", "preflight_only"}
    assert all(describe.LEFT_OUT.values())


def test_every_parameter_is_an_option_of_ours_or_of_beam():
    beams = set(PARAMETERS) - {option.name for option in OPTIONS}
    assert beams == {parameter["name"] for parameter in describe.BEAM_PARAMETERS}
    assert beam_parser().parse_known_args([f"--{name}=x" for name in beams])[1] == []
    assert len(PARAMETERS) == len(METADATA["parameters"])


def test_no_parameter_can_overwrite_what_the_launcher_gives():
    assert not {"runner", "project", "region", "job_name", "template_location"} & set(PARAMETERS)


def test_the_api_knows_every_field():
    message = json_format.ParseDict(METADATA, api.TemplateMetadata.pb(api.TemplateMetadata()))
    assert len(message.parameters) == len(PARAMETERS)


def test_the_api_would_refuse_a_field_that_it_does_not_know():
    wrong = {"name": "x", "parameters": [{"name": "x", "helptext": "x"}]}
    with pytest.raises(json_format.ParseError):
        json_format.ParseDict(wrong, api.TemplateMetadata.pb(api.TemplateMetadata()))


@pytest.mark.parametrize("parameter", METADATA["parameters"], ids=PARAMETERS)
def test_a_form_can_show_it(parameter):
    assert 0 < len(parameter["label"]) <= 40
    assert parameter["helpText"]
    assert bool(parameter.get("isOptional")) == (parameter["name"] not in ("input", "output"))
    for regex in parameter.get("regexes", ()):
        assert (regex[0], regex[-1]) == ("^", "$")
        assert not re.search(r"\(\?[^:]|\\[dwAZ]", regex)  # RE2, Java and a browser have to read it alike
    if "defaultValue" in parameter:
        assert passes(parameter["name"], parameter["defaultValue"])
    if parameter["paramType"] == "ENUM":
        assert all(passes(parameter["name"], choice["value"]) for choice in parameter["enumOptions"])


@pytest.mark.parametrize("parameter", METADATA["parameters"], ids=PARAMETERS)
def test_a_parent_has_the_values_that_show_its_children(parameter):
    if "parentName" in parameter:
        parent = PARAMETERS[parameter["parentName"]]
        values = {choice["value"] for choice in parent["enumOptions"]}
        assert set(parameter["parentTriggerValues"]) < values
        assert parameter["parentTriggerValues"]
        assert parent["defaultValue"] in values  # a form begins with a parent that has a value
        assert "parentName" not in parent


def test_the_types_are_those_of_the_options():
    types = {"integer": "NUMBER", "number": "NUMBER", "flag": "BOOLEAN"}
    for option in OWN:
        if option.kind != "text":
            assert PARAMETERS[option.name]["paramType"] == types.get(option.kind, "ENUM")
    assert PARAMETERS["input"]["paramType"] == "TEXT"
    assert PARAMETERS["output"]["paramType"] == "GCS_WRITE_FOLDER"
    assert PARAMETERS["cookies"]["paramType"] == "GCS_READ_FILE"


@pytest.mark.parametrize("option", OWN, ids=name_of)
def test_an_empty_text_is_let_through_where_the_job_takes_it_as_not_given(option):
    assert passes(option.name, "") == (option.name not in ("input", "output"))


@pytest.mark.parametrize("option", NUMBERS, ids=name_of)
def test_a_number_is_let_through_when_the_job_takes_it(option):
    assert (-1 if option.low is None else option.low) >= 0  # else the form needs a sign
    high = 10**15 if option.high is None else option.high
    plain = {format(Decimal(str(edge)), "f") for edge in (option.low, high)} | ({option.default} - {None})
    for text in plain:
        assert number_is_read(option, text), text
        assert passes(option.name, text), text
    refused = [
        "ten",
        "1 000",
        "1,5",
        "10s",
        "-1",
        "--",
        "0x10",
        "1.2.3",
        ".",
        *(["1.5"] if option.kind == "integer" else []),
    ]
    for text in refused:
        assert not number_is_read(option, text), text
        assert not passes(option.name, text), text


@pytest.mark.parametrize(("kind", "read"), [("integer", int), ("number", float)])
def test_whatever_a_number_form_lets_through_is_a_number(kind, read):
    regex = next(PARAMETERS[option.name]["regexes"][0] for option in NUMBERS if option.kind == kind)

    @settings(max_examples=200, deadline=None)
    @given(st.from_regex(regex, fullmatch=True))
    def check(text):
        assert read(text or "0") >= 0

    check()


@pytest.mark.parametrize("option", FLAGS, ids=name_of)
def test_a_flag_is_let_through_when_the_job_takes_it(option):
    for text in ("true", "false", "True", "FALSE", "yes", "1", "truefalse", " true"):
        values = Values({option.name: text}, [])
        values.flag(option.name)
        assert passes(option.name, text) == (not values.faults), text


@pytest.mark.parametrize("option", CHOICES, ids=name_of)
def test_a_choice_is_let_through_when_the_job_takes_it(option):
    choices = option.kind.split("|")
    assert [choice["value"] for choice in PARAMETERS[option.name]["enumOptions"]] == choices
    for text in (*choices, "other", choices[0].upper(), choices[0] + choices[1], f"{choices[0]}|"):
        values = Values({option.name: text}, [])
        values.choice(option.name)
        assert passes(option.name, text) == (not values.faults), text


@pytest.mark.parametrize("name", ["input", "exclude"])
@pytest.mark.parametrize(
    "text",
    [
        "gs://bucket/queries.csv",
        "gs://bucket/q-{date}.jsonl.gz",
        "gs://bucket/a/*.csv,gs://b2/with space.csv",
        "gs://bucket/a.csv, gs://bucket/b.csv",
        "queries.csv",
        "/tmp/queries.csv,gs://bucket/a.csv",
        "gs://bucket/a.csv,b.csv",
        "s3://bucket/a.csv",
    ],
)
def test_files_are_let_through_when_workers_reach_them(name, text):
    parts = Values({name: text}, []).parts(name)
    assert passes(name, text) == all(filesystem.is_remote(part) for part in parts)


@pytest.mark.parametrize("name", ["output", "cookies"])
def test_a_place_is_one_on_gs(name):
    assert passes(name, "gs://bucket/folder/{date}")
    assert not any(
        passes(name, text) for text in ("out", "/out", "https://bucket/out", "gs://", "gs:///out", "gs:/b/out")
    )


@pytest.mark.parametrize(
    "text", ["2026-11-22", "2026-1-2", "today", "22.11.2026", "2026-11-22 ", "20261122", "2026-W47-7"]
)
def test_a_date_is_let_through_when_the_job_takes_it(text):
    values = Values({"date": text}, [])
    read = values.date()
    assert passes("date", text) == (not values.faults)
    assert not passes("date", text) or read == datetime.date.fromisoformat(text)


@pytest.mark.parametrize("text", ["ytsearch", "scsearch5", "yt search", "YTSearch", "5search", "yt-search"])
def test_a_search_prefix_is_let_through_when_the_job_takes_it(text):
    assert passes("search_prefix", text) == (faults_of(search_prefix=text) == [])


def test_every_failure_code_can_be_named_for_another_try():
    for text in (*CODES, ", ".join(CODES), ",".join(CODES)):
        assert passes("retry_failed", text)
        assert faults_of(retry_failed=text) == []
    assert not passes("retry_failed", "Private")
    assert not passes("retry_failed", "private;removed")


@pytest.mark.parametrize("text", ["http://proxy:3128", "socks5h://proxy", "gs://bucket/proxy.txt"])
def test_a_proxy_is_an_address_or_a_place(text):
    assert passes("proxy", text)
    assert not passes("proxy", "proxy.txt")


def test_a_password_of_a_proxy_is_no_parameter():
    assert not passes("proxy", "http://user:word@proxy:3128")


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("us-central1-docker.pkg.dev/project/repository/clipscout:0.1.0-1a2b3c4", True),
        ("us-central1-docker.pkg.dev/project/repository/clipscout@sha256:" + "0" * 64, True),
        ("example.com:5000/clipscout:v1", True),
        ("Clip Scout", False),
        ("clipscout@sha256:12", False),
    ],
)
def test_an_image_is_named_as_registries_name_it(text, fits):
    assert passes("sdk_container_image", text) == fits


#: What else a user may have said.
SAID = [
    {},
    {"frame_stride": "2"},
    {"sample_fps": "5"},
    {"sampling": "keyframes"},
    {"classifier": "torchvision:r3d_18"},
    {"gpu": "nvidia-l4"},
    {"clip_seconds": "3"},
]


@pytest.mark.parametrize("said", SAID, ids=str)
@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_form_fills_in_changes_nothing(preset, said):
    filled = {name: parameter["defaultValue"] for name, parameter in PARAMETERS.items() if "defaultValue" in parameter}
    empty = {name: "" for name in PARAMETERS if name not in filled}
    chosen = {**BASE, **({} if preset == filled["preset"] else {"preset": preset}), **said}
    if preset == "notebook" and {"sampling", "classifier"} & set(said):
        chosen["preprocessing"] = "classifier"
    assert faults_of(**chosen) == faults_of(**{**empty, **filled, **chosen})
    assert faults_of(**chosen) or from_options({**empty, **filled, **chosen}) == from_options(chosen)


def test_most_defaults_are_filled_in():
    with_default = [option for option in OWN if option.default]
    assert sum("defaultValue" in PARAMETERS[option.name] for option in with_default) > len(with_default) / 2
    for option in with_default:
        shown = PARAMETERS[option.name]
        assert shown.get("defaultValue", option.default) == option.default
        assert "defaultValue" in shown or f"Default: {option.default}" in shown["helpText"]
