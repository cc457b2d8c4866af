"""One line for what ended a job: runners tell it in their own ways, most of them in a traceback of a worker."""

import re

import grpc

GOES_ON = "the same command goes on from what is complete"
WORKER_DIED = f"a worker process died: it was killed, or memory ran out; {GOES_ON}"
#: How runners begin.
_ENDED = re.compile(r"Pipeline \S+ failed in state (\w+): ")
_TRACEBACK = "Traceback (most recent call last):"
_RAISED = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception)): (.*)$", re.MULTILINE)
#: How they say that a worker process is gone: Beam's local runner, Prism, and the Java ones.
_GONE = re.compile(
    r"Channel closed prematurely|SDK worker disconnected|SDK (?:harness|Harness) .*(?:disconnect|cancell?ed)"
)


def is_worker_gone(text: str) -> bool:
    """Tells whether a job failed because a worker process is gone."""
    return _GONE.search(text) is not None


def in_one_line(text: str) -> str:
    """Returns what a runner says of the end of a job, as one line without its trace.

    Args:
      text: What it raised.
    """
    ended = _ENDED.match(text)
    if ended and ended[1] != "FAILED":
        return f"the job ended as {ended[1].lower()}; {GOES_ON}"
    if is_worker_gone(text):
        return f"the job failed: {WORKER_DIED}"
    rest = text[ended.end() :] if ended else text
    raised = _RAISED.findall(rest) if _TRACEBACK in rest else []
    why = ": ".join(raised[-1]).partition(" [while running")[0] if raised else first_line(rest)
    return f"the job failed: {' '.join(why.split())}"


def of_call(error: grpc.RpcError) -> str:
    """Returns in a word why a call to a server failed."""
    return str(error.code().name) if isinstance(error, grpc.Call) else type(error).__name__


def first_line(text: str) -> str:
    """Returns the first line of a text that says something, at a bearable length."""
    return next(filter(None, map(str.strip, text.splitlines())), "")[:400]
