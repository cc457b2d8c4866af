"""templates/README.md names what is: files, options, variables, commands that bash can read, and every right."""

import json
import re
import subprocess

import pytest
from apache_beam.options.pipeline_options import WorkerOptions

from clipscout.pipeline import cloud
from clipscout.pipeline.beam_options import beam_parser
from clipscout.pipeline.counters import STAGES
from clipscout.pipeline.options import OPTIONS
from clipscout.pipeline.run import configure
from templates import describe
from tests.templates.terraform_text import read
from tests.templates.test_schedule import RIGHTS, WORKFLOW_ROLES

FOLDER = describe.METADATA_FILE.parent
README = (FOLDER / "README.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
CODE = re.findall(r"`([^`\n]+)`", PROSE)
PARAMETERS = {parameter["name"] for parameter in json.loads(describe.METADATA_FILE.read_text())["parameters"]}


def commands():
    """Returns every command of the blocks, and those in the text, each on one line."""
    joined = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]
    return [*joined, *CODE]


def is_flag_of_ours_or_of_beam(flag):
    name = flag.partition("=")[0]
    return (
        name == "help"
        or name in {option.name for option in OPTIONS}
        or beam_parser().parse_known_args([f"--{name}=1"])[1] == []
    )


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split()[0])
def test_bash_can_read_the_commands(block):
    done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_files_that_are_named_exist():
    named = set(re.findall(r"(?:templates|schedule|pipeline|requirements)/[\w./-]*\w", README))
    made = {"templates/schedule/nightly.tfvars"}
    places = {"templates/clipscout.json", "templates/clipscout-v1.json"}  # on gs://
    missing = {
        name for name in named - made - places if not (FOLDER.parent / name).exists() and not (FOLDER / name).exists()
    }
    assert missing == set()
    for name in re.findall(r"^\| `([^|]+)` \|", README.split("\n## ")[0], re.MULTILINE):
        assert all((FOLDER / part).exists() for part in name.split("`, `")), name


def test_all_files_are_told():
    told = README.split("\n## ")[0]
    for path in FOLDER.iterdir():
        if path.name not in ("__init__.py", "README.md", "__pycache__"):
            assert f"`{path.name}" in told, path.name


def test_options_in_the_text_are_options():
    for flag in {flag for code in CODE for flag in re.findall(r"(?<![\w-])--([a-z][a-z_-]*)", code)}:
        gcloud = any(word in code for code in CODE if f"--{flag}" in code for word in ("gcloud", "--build-arg"))
        assert gcloud or is_flag_of_ours_or_of_beam(flag), flag


def test_the_check_takes_the_options_that_it_is_given():
    (check,) = [line for line in commands() if line.startswith("/tmp/clipscout/bin/clipscout mine")]
    flags = re.findall(r"--([a-z_]+)", check)
    assert "preflight_only" in flags
    for flag in flags:
        assert is_flag_of_ours_or_of_beam(flag), flag


def test_launches_give_parameters_of_the_template():
    launches = [line for line in commands() if re.match(r"([A-Z_]+=\S+ )*templates/run.sh (?!--help)", line)]
    assert len(launches) >= 3
    for line in launches:
        given = re.findall(r"\s([a-z_]+)=", line)
        assert {"input", "output"} <= set(given) <= PARAMETERS, line


def test_the_schedule_is_given_variables_that_it_has():
    variables = {block.labels[0]: block for block in read().all("variable")}
    (block,) = [block for block in BLOCKS if "nightly.tfvars <<END" in block]
    settings = block.split("<<END\n")[1].split("\nEND")[0]
    given = set(re.findall(r"^(\w+) +=", settings, re.MULTILINE))
    assert {name for name, block in variables.items() if "default" not in block.attributes} <= given <= set(variables)
    assert set(re.findall(r"^ +(\w+) +=", settings, re.MULTILINE)) <= PARAMETERS
    for name in re.findall(r"`(\w+) = ", PROSE):
        assert name in variables or name in PARAMETERS, name
    outputs = {block.labels[0] for block in read().all("output")}
    assert set(re.findall(r"output -raw (\w+)", README)) <= outputs


def test_every_variable_of_the_scripts_is_set_on_the_way():
    set_before = set(re.findall(r"(?:export |^|\s)([A-Z_]+)=", " ".join(commands())))
    for script in ("build.sh", "run.sh"):
        (needed,) = re.findall(r"^for name in ([A-Z_ ]+); do$", (FOLDER / script).read_text(), re.MULTILINE)
        assert set(needed.split()) <= set_before, script


def test_every_right_is_told():
    section = README.split("\n## Security")[1].split("\n## ")[0]
    roles = {role.strip('"') for _, _, role in RIGHTS if role.startswith('"')} | WORKFLOW_ROLES
    assert {role for role in roles if f"`{role.removeprefix('roles/')}`" not in section} == set()


def test_the_services_that_terraform_needs_can_be_enabled_first():
    (local,) = read().all("locals")
    always = local.attributes["services"].split("var.use_workflow")[0]
    enabled = next(line for line in commands() if line.startswith("gcloud services enable"))
    assert set(re.findall(r'"([\w.]+)"', always)) <= set(enabled.split())


def test_numbers_that_the_text_tells_are_those_of_the_code():
    assert f"`{describe.spec('a:1')['defaultEnvironment']['launcherMachineType']}`" in README
    assert f"up to {describe.spec('a:1')['defaultEnvironment']['maxWorkers']} workers" in README
    (schedule,) = [block for block in read().all("variable") if block.labels == ("schedule",)]
    assert schedule.attributes["default"] == '"0 3 * * *"'
    assert "by default at 3:00 UTC" in README
    assert f"{disk_gb()} GB, or {disk_gb('--gpu=nvidia-l4')} GB with a GPU" in README


def disk_gb(*more):
    """Returns the disk of a job's workers."""
    job = ("--runner=DataflowRunner", "--input=gs://bucket/q.csv", "--output=gs://bucket/out", *more)
    config, beam_options = configure(job)
    cloud.settle(config, beam_options)
    return beam_options.view_as(WorkerOptions).disk_size_gb


def test_counters_that_the_text_tells_are_counted():
    code = "".join(path.read_text() for path in (FOLDER.parent / "transforms").rglob("*.py"))
    rows = re.findall(r"^\| `([A-Z]\w+)` \| (`.*?`) \|", README, re.MULTILINE)
    assert {stage for stage, _ in rows} <= set(STAGES)
    named = {name for _, names in rows for name in re.findall(r"`([^`]+)`", names)} - {"failed-CODE"}
    assert len(named) > 15
    assert {name for name in named if f'"{name}"' not in code} == set()


def test_it_says_what_was_not_tried():
    assert "None of this has been run against Google Cloud" in README
    assert "## What was tried, and what was not" in README
