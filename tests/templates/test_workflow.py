"""The workflow launches, waits for the end whatever happens on the way, and fails when the job does."""

import copy
import datetime
import re

import pytest
from apache_beam.runners.dataflow.dataflow_runner import DataflowPipelineResult
from apache_beam.runners.runner import PipelineState
from google.cloud import dataflow_v1beta3 as api

from tests.templates.terraform_text import FOLDER, read
from tests.templates.test_schedule import body, parsed
from tests.templates.workflow_runner import Workflow, WorkflowError, following, steps_of

STEPS = steps_of(FOLDER / "workflow.yaml")
PLACE = "https://dataflow.googleapis.com/v1b3/projects/project/locations/us-central1"
LATE = datetime.datetime(2026, 11, 22, 23, 30, tzinfo=datetime.UTC)


def argument(**more):
    """Returns what the schedule hands over."""
    made = {
        "project": "project",
        "region": "us-central1",
        "time_zone": "Etc/UTC",
        "poll_seconds": 120,
        "launch": body(),
    }
    return {**made, **more}


def execution(*states, post=None, now=LATE):
    """Returns an execution whose job goes through the states."""
    left = list(states)
    services = {
        "http.post": post or (lambda **_: {"body": {"job": {"id": "2026-1"}}}),
        "http.get": lambda **_: {"body": {"currentState": left.pop(0)}},
        "sys.sleep": lambda **_: None,
    }
    return Workflow(STEPS, services, now)


def posted(workflow):
    ((_, arguments, retry),) = [call for call in workflow.calls if call[0] == "http.post"]
    return arguments, retry


def test_the_schedule_hands_over_what_the_workflow_reads():
    (local,) = read().all("locals")
    names = re.findall(r"[{,] ?(\w+) = ", local.attributes["execution"])
    assert names == ["argument", *argument()]
    source = (FOLDER / "workflow.yaml").read_text()
    assert set(re.findall(r"\bargs\.(\w+)", source)) == set(argument())


def test_it_launches_waits_and_returns_the_job():
    workflow = execution("JOB_STATE_QUEUED", "JOB_STATE_RUNNING", "JOB_STATE_DONE")
    assert workflow.run(argument()) == "2026-1"
    sent, retry = posted(workflow)
    assert sent["url"] == f"{PLACE}/flexTemplates:launch"
    assert sent["auth"] == {"type": "OAuth2"}
    assert retry == "default_retry_non_idempotent"
    looks = [(arguments, retry) for name, arguments, retry in workflow.calls if name == "http.get"]
    assert len(looks) == 3
    assert {arguments["url"] for arguments, _ in looks} == {f"{PLACE}/jobs/2026-1"}
    assert {retry for _, retry in looks} == {"default_retry"}
    assert [arguments for name, arguments, _ in workflow.calls if name == "sys.sleep"] == [{"seconds": 120}] * 3


def test_what_it_sends_is_a_launch_of_the_api():
    workflow = execution("JOB_STATE_DONE")
    workflow.run(argument())
    message = parsed(posted(workflow)[0]["body"]).launch_parameter
    expected = {**body()["launchParameter"]["parameters"], "date": "2026-11-22"}
    assert dict(message.parameters) == expected
    assert message.job_name == "clipscout"


@pytest.mark.parametrize(("zone", "date"), [("Etc/UTC", "2026-11-22"), ("Europe/Berlin", "2026-11-23")])
def test_the_date_is_that_of_the_schedules_zone(zone, date):
    workflow = execution("JOB_STATE_DONE")
    workflow.run(argument(time_zone=zone))
    assert posted(workflow)[0]["body"]["launchParameter"]["parameters"]["date"] == date


def test_a_day_can_be_named():
    workflow = execution("JOB_STATE_DONE")
    workflow.run(argument(date="2026-01-02"))
    assert posted(workflow)[0]["body"]["launchParameter"]["parameters"]["date"] == "2026-01-02"


@pytest.mark.parametrize("state", [state.name for state in api.JobState])
def test_it_ends_with_the_job_in_every_state(state):
    final = PipelineState.is_terminal(DataflowPipelineResult.api_jobstate_to_pipeline_state(api.JobState[state]))
    workflow = execution(state, *["JOB_STATE_DONE"] * (not final))
    if state == "JOB_STATE_DONE" or not final:
        assert workflow.run(argument()) == "2026-1"
    else:
        with pytest.raises(WorkflowError, match=f"2026-1 ended as {state}"):
            workflow.run(argument())
    assert sum(name == "http.get" for name, *_ in workflow.calls) == (1 if final else 2)


def test_a_refused_launch_fails_it():
    def refuse(**_):
        raise WorkflowError("409: there is an active job with that name")

    with pytest.raises(WorkflowError, match="409"):
        execution(post=refuse).run(argument())


def test_every_step_is_reached_and_leads_to_an_end():
    reached, todo = set(), [next(iter(STEPS))]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += following(STEPS, name)
    assert reached == set(STEPS)
    ending = {name for name in STEPS if not following(STEPS, name)}
    assert ending
    grown = copy.copy(ending)
    while grown != (grown := grown | {name for name in STEPS if following(STEPS, name) & grown}):
        pass
    assert grown == set(STEPS)
