"""Canaries: a known video of each site is fetched before a job begins that asks the web.

A site that has changed, or refuses this machine today, otherwise costs a night of failures.
"""

import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from clipscout.pipeline.faults import Fault, of
from clipscout.transforms.core import tally
from clipscout.transforms.core.storage import naming
from clipscout.transforms.core.web import addresses
from clipscout.transforms.core.web.client import Fetcher, FetchError
from clipscout.transforms.core.web.filters import FilterSettings
from clipscout.transforms.core.web.lanes import Gate
from clipscout.transforms.video_fetchers import FetchSettings


def faults(urls: tuple[str, ...], settings: FetchSettings) -> list[Fault]:
    """Returns a fault for each video that cannot be fetched; what was fetched is thrown away.

    Args:
      urls: Addresses of videos.
      settings: How videos are fetched.
    """
    if not urls:
        return []
    with tempfile.TemporaryDirectory(prefix="clipscout-") as folder, ThreadPoolExecutor(len(urls)) as pool:
        return [fault for fault in pool.map(partial(_fault, settings, folder), urls) if fault]


def _fault(settings: FetchSettings, folder: str, url: str) -> Fault | None:
    host = addresses.host_of(url)
    request = {
        "url": url,
        "folder": tempfile.mkdtemp(dir=folder),
        "max_height": settings.max_height,
        "height_cap": settings.height_cap,
        "max_bytes": settings.max_bytes,
        "sound": settings.sound,
        "filter": vars(FilterSettings()),  # it need not be one that the job would take
        "seconds": [],
    }
    once = replace(settings.politeness, attempts=1)
    fetcher = Fetcher(settings.web, once)
    try:
        with tally.doing(f"fetching the canary of {host}", slow_seconds=5):
            task = "web.fetch_tasks:download"
            (message,), _ = fetcher.run(task, lambda: request, Gate(once, 1), host, threading.Event())
        if not os.path.getsize(message.fields["path"]):
            return of("canary", f": {naming.without_login(url)}: the file is empty")
    except FetchError as error:
        return of("canary", f": {naming.without_login(url)} cannot be fetched: {error}")
    finally:
        fetcher.close()
    return None
