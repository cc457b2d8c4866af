"""The schedule: its Terraform holds together, gives no more rights than it says, and its launch is one of the API."""

import ast
import json
import os
import re
import shutil
import subprocess
import warnings

import pytest
from google.cloud import dataflow_v1beta3 as api
from google.protobuf import json_format

from templates import describe
from tests.templates.terraform_text import FOLDER, holes, read, rendered

TERRAFORM = shutil.which("terraform")
WHOLE = read()
SOURCE = "\n".join(path.read_text() for path in sorted(FOLDER.glob("*.tf")))
TEMPLATE = (FOLDER / "launch.json.tftpl").read_text()
RESOURCES = {block.address(): block for block in WHOLE.all("resource")}
SCHEDULER = RESOURCES["google_cloud_scheduler_job.launch"]
#: Who may do what, where. A role more is a decision.
RIGHTS = {
    ("worker", "google_project_iam_member", '"roles/dataflow.worker"'),
    ("worker", "google_storage_bucket_iam_member", '"roles/storage.objectAdmin"'),
    ("worker", "google_artifact_registry_repository_iam_member", '"roles/artifactregistry.reader"'),
    ("worker", "google_secret_manager_secret_iam_member", '"roles/secretmanager.secretAccessor"'),
    ("invoker", "google_project_iam_member", '"roles/dataflow.developer"'),
    ("invoker", "google_project_iam_member", '"roles/compute.viewer"'),
    ("invoker", "google_service_account_iam_member", '"roles/iam.serviceAccountUser"'),
    ("invoker", "google_storage_bucket_iam_member", '"roles/storage.objectViewer"'),
    ("invoker", "google_project_iam_member", "each.key"),
}
WORKFLOW_ROLES = {"roles/workflows.invoker", "roles/logging.logWriter"}
VALUES = {
    "job_name": "clipscout",
    "template": "gs://bucket/templates/clipscout.json",
    "parameters": {"input": "gs://data/q-{date}.csv", "output": "gs://data/out/{date}", "prompts": 'a "{}";<b>, ä'},
    "max_workers": 10,
    "machine_type": None,
    "disk_gb": 80,
    "launcher": "n2-standard-2",
    "labels": {"team": "video"},
    "kms_key": None,
    "experiments": ["one", "two"],
    "more": ["dataflow_service_options=enable_prime"],
    "worker": "clipscout-worker@project.iam.gserviceaccount.com",
    "bucket": "bucket",
    "subnetwork": "",
    "ip_configuration": "WORKER_IP_PRIVATE",
}


def body():
    """Returns the launch that the schedule sends for VALUES."""
    return json.loads(rendered(TEMPLATE, VALUES))


def parsed(launch):
    """Returns a launch as the API's message; a field that it does not know is an error."""
    request = api.LaunchFlexTemplateRequest.pb(api.LaunchFlexTemplateRequest())
    return json_format.ParseDict(launch, request)


def variables_in(text):
    return set(re.findall(r"\bvar\.(\w+)", text))


def expressions(block):
    """Yields the text of every attribute in a block and below."""
    yield from block.attributes.values()
    for inner in block.blocks:
        yield from expressions(inner)


def terraform(*given, cwd=FOLDER, text=None):
    environment = {**os.environ, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    return subprocess.run(
        [TERRAFORM, *given],
        cwd=cwd,
        input=text,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_launch_is_one_of_the_api():
    message = parsed(body()).launch_parameter
    assert message.job_name == "clipscout"
    assert message.container_spec_gcs_path == VALUES["template"]
    assert dict(message.parameters) == VALUES["parameters"]
    environment = message.environment
    assert (environment.max_workers, environment.service_account_email) == (10, VALUES["worker"])
    assert (environment.machine_type, environment.disk_size_gb) == ("", 80)
    assert (environment.launcher_machine_type, environment.kms_key_name) == ("n2-standard-2", "")
    assert dict(environment.additional_user_labels) == {"team": "video"}
    assert list(environment.additional_experiments) == ["one", "two"]
    assert list(environment.additional_pipeline_options) == ["dataflow_service_options=enable_prime"]
    assert environment.ip_configuration == api.WorkerIPAddressConfiguration.WORKER_IP_PRIVATE
    assert (environment.temp_location, environment.staging_location) == ("gs://bucket/tmp", "gs://bucket/staging")


def test_a_field_that_the_api_does_not_know_would_be_found():
    launch = body()
    launch["launchParameter"]["environment"]["diskSize"] = 100
    with pytest.raises(json_format.ParseError):
        parsed(launch)


def test_both_settings_of_addresses_are_known_to_the_api():
    written = set(re.findall("WORKER_IP_[A-Z]+", SOURCE))
    assert written == {"WORKER_IP_PRIVATE", "WORKER_IP_UNSPECIFIED"}
    assert written <= {value.name for value in api.WorkerIPAddressConfiguration}


def test_the_call_gives_the_template_what_it_needs():
    (local,) = WHOLE.all("locals")
    given = set(re.findall(r"[{,] ?(\w+) = ", local.attributes["launch"]))
    assert given == holes(TEMPLATE) == set(VALUES)


def test_terraform_renders_what_these_tests_render(tmp_path):
    if TERRAFORM is None:
        warnings.warn("terraform is not installed: only its own rendering was not compared", stacklevel=1)
        return
    (tmp_path / "launch.json.tftpl").write_text(TEMPLATE)
    call = f'jsonencode(jsondecode(templatefile("launch.json.tftpl", jsondecode({json.dumps(json.dumps(VALUES))}))))'
    done = terraform("console", cwd=tmp_path, text=call)
    assert done.returncode == 0, done.stderr
    assert json.loads(json.loads(done.stdout)) == body()


def test_terraform_is_content_with_the_format():
    if TERRAFORM is None:
        warnings.warn("terraform is not installed: only its own format was not compared", stacklevel=1)
        return
    done = terraform("fmt", "-check", "-diff", "-recursive", "-no-color")
    assert done.returncode == 0, done.stdout


def test_variables_are_declared_described_and_used():
    declared = {block.labels[0]: block for block in WHOLE.all("variable")}
    used = variables_in(
        " ".join(text for block in WHOLE.blocks if block.kind != "variable" for text in expressions(block))
    )
    assert used == set(declared)
    for block in declared.values():
        assert {"description", "type"} <= set(block.attributes), block.labels
        for inner in block.all("validation"):
            assert variables_in(inner.attributes["condition"]) == {block.labels[0]}


def test_names_lead_to_something():
    locals_declared = {name for block in WHOLE.all("locals") for name in block.attributes}
    assert set(re.findall(r"\blocal\.(\w+)", SOURCE)) == locals_declared
    assert {address.rstrip(".") for address in re.findall(r"\bgoogle_\w+\.\w+", SOURCE)} <= set(RESOURCES)


def test_the_schedule_posts_the_launch_with_a_token_of_the_invoker():
    (target,), (local,) = SCHEDULER.all("http_target"), WHOLE.all("locals")
    (token,) = target.all("oauth_token")
    assert target.attributes["http_method"] == '"POST"'
    assert target.attributes["body"] == "base64encode(var.use_workflow ? local.execution : local.launch)"
    assert target.attributes["uri"] == "var.use_workflow ? local.execution_uri : local.launch_uri"
    place = "v1b3/projects/${var.project}/locations/${var.region}/flexTemplates:launch"
    assert local.attributes["launch_uri"] == f'"https://dataflow.googleapis.com/{place}"'
    assert token.attributes["service_account_email"] == "google_service_account.invoker.email"
    assert {"paused", "time_zone", "attempt_deadline"} <= set(SCHEDULER.attributes)
    assert len(SCHEDULER.all("retry_config")) == 1


def test_alerts_are_about_the_jobs_and_launches_of_this_schedule():
    policies = {block.labels[1]: block for block in RESOURCES.values() if "alert_policy" in block.labels[0]}
    assert set(policies) == {"failed", "refused", "missing"}
    for block in policies.values():
        texts = " ".join(expressions(block))
        assert "${var.name}" in texts
        assert block.attributes["notification_channels"] == "var.notification_channels"
        assert "var.alerts" in block.attributes["count"]
    assert "dataflow.googleapis.com/job/is_failed" in " ".join(expressions(policies["failed"]))
    assert "!var.paused" in policies["missing"].attributes["count"]


def test_the_storage_is_private_and_what_is_temporary_goes():
    storage = read(FOLDER.parent / "storage")
    resources = {block.address(): block for block in storage.all("resource")}
    assert {address.partition(".")[0] for address in resources} == {
        "google_storage_bucket",
        "google_artifact_registry_repository",
    }
    for block in resources.values():
        if block.labels[0] == "google_storage_bucket":
            assert block.attributes["public_access_prevention"] == '"enforced"'
            assert block.attributes["uniform_bucket_level_access"] == "true"
    (rule,) = resources["google_storage_bucket.work"].all("lifecycle_rule")
    (condition,) = rule.all("condition")
    assert re.findall(r"\w+/", condition.attributes["matches_prefix"]) == ["tmp/", "staging/"]
    declared = {block.labels[0] for block in storage.all("variable")}
    used = variables_in(" ".join(text for block in storage.blocks for text in expressions(block)))
    assert used == declared


def test_the_name_of_the_job_is_fixed():
    (local,) = WHOLE.all("locals")
    assert "{job_name = var.name," in local.attributes["launch"]


def test_rights_are_those_that_are_meant():
    found = set()
    for block in RESOURCES.values():
        if "role" in block.attributes:
            who = re.fullmatch(r"google_service_account\.(\w+)\.member", block.attributes["member"])[1]
            found.add((who, block.labels[0], block.attributes["role"]))
    assert found == RIGHTS
    several = RESOURCES["google_project_iam_member.invoker_starts_workflow"].attributes["for_each"]
    assert set(re.findall(r"roles/[\w.]+", several)) == WORKFLOW_ROLES


def test_rights_are_added_and_never_take_others_away():
    kinds = {block.labels[0] for block in RESOURCES.values()}
    assert not [kind for kind in kinds if kind.endswith(("_iam_policy", "_iam_binding"))]
    assert "google_service_account_key" not in kinds
    assert "google_dataflow_flex_template_job" not in kinds  # it would launch a finished job again at each apply


def test_buckets_are_named_one_by_one():
    buckets = RESOURCES["google_storage_bucket_iam_member.worker_uses_buckets"]
    assert buckets.attributes["for_each"] == "setunion(var.data_buckets, [var.bucket])"


def test_unknown_parameters_are_refused_before_anything_is_made():
    (block,) = [block for block in WHOLE.all("variable") if block.labels == ("parameters",)]
    conditions = " ".join(inner.attributes["condition"] for inner in block.all("validation"))
    path = re.search(r'\$\{path\.module\}/([\w./]+)"', conditions)[1]
    assert (FOLDER / path).resolve() == describe.METADATA_FILE.resolve()
    assert '["input", "output"]' in conditions
    names = {parameter["name"] for parameter in json.loads(describe.METADATA_FILE.read_text())["parameters"]}
    assert set(VALUES["parameters"]) <= names


def test_what_airflow_sends_is_a_launch_of_the_api_with_parameters_of_the_template():
    (code,) = re.findall(r"```python\n(.*?)```", describe.METADATA_FILE.with_name("README.md").read_text(), re.DOTALL)
    (body,) = [
        ast.literal_eval(argument.value)
        for call in ast.walk(ast.parse(code))
        if isinstance(call, ast.Call)
        for argument in call.keywords
        if argument.arg == "body"
    ]
    message = parsed(body).launch_parameter
    assert message.environment.max_workers == 10
    names = {parameter["name"] for parameter in json.loads(describe.METADATA_FILE.read_text())["parameters"]}
    assert set(message.parameters) <= names
