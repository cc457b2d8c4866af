"""What a downloader that dies becomes."""

import os
import signal
import socket
import threading

import pytest

from clipscout.transforms.core.web.client import Fetcher, FetchError, WebSettings
from clipscout.transforms.core.web.lanes import Gate, Politeness

STALLS = {"query": "x", "search_prefix": "localsearch", "limit": 1, "licence": "any", "pause_seconds": 0}


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_downloader_that_is_killed_is_tried_again_and_then_a_transient_failure(attempts):
    fetcher = Fetcher(WebSettings(allowed_hosts=("true",)), Politeness(attempts=attempts, retry_wait_seconds=0))
    started, asked = [], []

    def kill_once_it_asks():
        asked.append(silent.accept())
        os.kill(fetcher.child._process.pid, signal.SIGKILL)

    def request():
        """Each attempt's child is killed once it waits for an answer."""
        started.append(1)
        threading.Thread(target=kill_once_it_asks, daemon=True).start()
        return {**STALLS, "url": f"http://127.0.0.1:{silent.getsockname()[1]}/never"}

    gate = Gate(Politeness(interval_seconds=0), 1)
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(FetchError) as caught:
            fetcher.run("web.fetch_tasks:listing", request, gate, "127.0.0.1", threading.Event())
    finally:
        fetcher.close()
    assert (caught.value.code, caught.value.attempts) == ("fetch_crashed", attempts)
    assert (len(started), len(asked)) == (attempts, attempts)
    assert "SIGKILL" in str(caught.value)
    assert caught.value.transient
