"""What a downloader that dies becomes."""

import os
import signal
import threading

import pytest

from transforms.core.fetcher import Fetcher, FetchError, WebSettings
from transforms.core.lanes import Gate, Lane, Politeness

STALLS = {"query": "x", "search_prefix": "localsearch", "limit": 1, "licence": "any"}


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_downloader_that_is_killed_is_tried_again_and_then_a_transient_failure(attempts):
    fetcher = Fetcher(WebSettings(allowed_hosts=("true",)), Politeness(attempts=attempts, retry_wait_seconds=0))
    started = []

    def request():
        """Each attempt kills its own child a moment after the child has begun to work."""
        started.append(1)
        threading.Timer(0.5, lambda: os.kill(fetcher.child._process.pid, signal.SIGKILL)).start()
        return {**STALLS, "url": "http://127.0.0.1:9/never"}

    try:
        with pytest.raises(FetchError) as caught:
            fetcher.run("fetch:listing", request, Lane(0, threading.Event()), Gate(1, 3), "127.0.0.1")
    finally:
        fetcher.close()
    assert (caught.value.code, caught.value.attempts, len(started)) == ("fetch_crashed", attempts, attempts)
    assert caught.value.transient
