"""A stand-in for Dataflow's REST API on 127.0.0.1: it takes what the real DataflowRunner submits and moves jobs on."""

import contextlib
import json
import re

from google.cloud.dataflow_v1beta3 import JobState

from tests.servers import QuietHandler, serving

REGIONS = ("europe-west4", "us-central1")
FORBIDDEN_PROJECT = "forbidden-project"
_STATES = ("JOB_STATE_PENDING", "JOB_STATE_RUNNING")
_JOBS = re.compile(r"/v1b3/projects/([^/]+)/locations/([^/]+)/jobs(?:/([^/]+)(/\w+)?)?")


class DataflowService:
    """What was submitted.

    Attributes:
      jobs: Id to the job as it was submitted, in JSON.
      last_state: State in which jobs end.
      wished: Id to the state that a job was asked to go to.
      error: What the service tells of a job that failed.
      url: Address, spelled as Beam wants a local one.
    """

    def __init__(self):
        self.jobs, self.last_state, self.error, self.url = {}, "JOB_STATE_DONE", "", ""
        self.wished = {}
        self._asked = {}

    def submitted(self):
        """Returns the only job."""
        (job,) = self.jobs.values()
        return job

    def answer(self, method, path, body):
        """Returns status and JSON of one request."""
        project, region, job_id, part = _JOBS.fullmatch(path).groups()
        if project == FORBIDDEN_PROJECT:
            return 403, _error(403, "PERMISSION_DENIED", "The caller does not have permission")
        if region not in REGIONS:
            return 404, _error(404, "NOT_FOUND", f"The location {region} is not known")
        if method == "POST" and job_id is None:
            return 200, self._submit(body)
        if method == "PUT":
            self.wished[job_id] = JobState(body["requestedState"]).name
        if part == "/messages":
            return 200, self._messages()
        if part:  # metrics
            return 200, {}
        return 200, self._moved_on(job_id)

    def _submit(self, job):
        for job_id, other in self.jobs.items():
            if other["name"] == job["name"] and not self._ended(job_id):
                return {**other, "id": job_id}  # so the service tells that the name is taken
        job_id = f"2026-job-{len(self.jobs)}"
        self.jobs[job_id] = job
        return {**job, "id": job_id, "currentState": _STATES[0]}

    def _moved_on(self, job_id):
        self._asked[job_id] = self._asked.get(job_id, 0) + 1
        states = (*_STATES, self.last_state)
        state = self.wished.get(job_id) or states[min(self._asked[job_id], len(states) - 1)]
        return {"id": job_id, "name": self.jobs[job_id]["name"], "currentState": state}

    def _messages(self):
        told = {"id": "1", "time": "2026-11-22T00:00:00Z", "messageImportance": "JOB_MESSAGE_ERROR"}
        return {"jobMessages": [{**told, "messageText": self.error}]} if self.error else {}

    def _ended(self, job_id):
        return self._asked.get(job_id, 0) >= len(_STATES)


def _error(code, status, message):
    return {"error": {"code": code, "status": status, "message": message}}


@contextlib.contextmanager
def dataflow_service():
    """Runs a DataflowService."""
    service = DataflowService()

    class Handler(QuietHandler):
        def handle_any(self):
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size) or b"null")
            status, answer = service.answer(self.command, self.path.partition("?")[0], body)
            self.give(status, "application/json", json.dumps(answer).encode())

        def do_GET(self):
            self.handle_any()

        def do_POST(self):
            self.handle_any()

        def do_PUT(self):
            self.handle_any()

    with serving(Handler) as port:
        service.url = f"http://localhost:{port}"
        yield service
