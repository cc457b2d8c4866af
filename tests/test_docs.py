"""The documents say what is: codes, options and files that they name exist, and every code is told."""

import re
from pathlib import Path

import pytest

from clipscout.pipeline import options
from clipscout.pipeline.beam_options import beam_parser
from clipscout.pipeline.options import OPTIONS
from clipscout.transforms.core.classifiers import spec_file
from clipscout.transforms.core.results import manifests
from clipscout.transforms.failures import CATEGORIES, CODES, REMEDIES, remedy

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DOCUMENTS = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "templates/README.md")


def page(name):
    return (ROOT / f"docs/{name}.md").read_text()


def test_there_is_a_table_of_failure_codes():
    for code, (category, meaning) in CODES.items():
        assert f"| `{code}` | {category} | {meaning} |" in page("failures"), code
    for category in CATEGORIES:
        assert f"\n| {category} |" in page("failures")


def test_the_page_of_options_is_made_from_the_table():
    assert page("options") == options.page()


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_failure_code_has_a_remedy_that_names_options_that_exist(code):
    text = remedy(code)
    assert len(text) > 20
    assert "{" not in text
    assert set(re.findall(r"--([a-z_]+)", text)) <= {option.name for option in OPTIONS} | {"upgrade"}
    assert set(re.findall(r"--retry_failed=(\w+)", text)) <= {code}


def test_remedies_are_for_codes_that_exist():
    assert set(REMEDIES) <= set(CODES)


@pytest.mark.parametrize("manifest", ["SPAN", "VIDEO"])
def test_every_column_of_the_manifests_is_told(manifest):
    heading = f"## Columns of `{manifest.lower()}s`"
    section = page("outputs").partition(heading)[2].partition("\n## ")[0]
    for column in getattr(manifests, f"{manifest}_COLUMNS"):
        assert re.search(rf"^\| .*`{column}`.* \|", section, re.MULTILINE), column


def test_every_field_of_a_spec_file_is_told():
    for field in spec_file._KNOWN:
        assert re.search(rf"^\| .*`{field}`.* \|", page("classifiers"), re.MULTILINE), field


def test_documents_name_only_options_that_exist():
    known = (
        {option.name for option in OPTIONS}
        | {"help", "version", "match", "constraint", "part", "repeat"}
        | {"service_port", "worker_pool"}  # of Beam's worker pool
        | beam_options()
    )
    assert len(DOCUMENTS) > 10
    for document in DOCUMENTS:
        text = document.read_text()
        named = set(re.findall(r"(?<![\w-])--([a-z][a-z]*_[a-z_]+|[a-z]+(?= |=|`))", text))
        if document.parent.name == "templates":  # gcloud's own have no underscore
            named = {name for name in named if "_" in name}
        assert named <= known, (document, named - known)


def beam_options():
    """Returns the names of the options of Beam and its runners."""
    return {name.lstrip("-") for action in beam_parser()._actions for name in action.option_strings}


def test_every_option_has_help_and_a_default_or_a_reason():
    for option in OPTIONS:
        assert option.help.endswith(".") or option.help.endswith(")"), option.name
        assert option.default is not None or "efault" in option.help, option.name


def test_readme_names_targets_that_make_has():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE)) <= targets


def test_nothing_is_marked_as_still_to_be_done():
    marks = ["".join(letters) for letters in (("TO", "DO"), ("FIX", "ME"), ("X", "XX"))]
    folders = ("pipeline", "transforms", "templates", "demo", "benchmarks", "tests")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 100  # the search itself works
    for path in [*sources, *DOCUMENTS, ROOT / "Makefile", ROOT / "setup.py"]:
        assert [mark for mark in marks if mark in path.read_text()] == [], path


def test_documents_hold_no_heading_or_table_that_is_still_to_be_filled_in():
    for document in DOCUMENTS:
        assert not re.search(r"_TABLE|^LIMITS$", document.read_text(), re.MULTILINE), document
