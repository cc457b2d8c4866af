"""Fixtures that several tests of the core share."""

from contextlib import contextmanager

import pytest

from clipscout.transforms.core.video import containers


@pytest.fixture
def openings(monkeypatch):
    """The paths that were opened, while they are really opened."""
    opened, paths = containers.opened, []

    @contextmanager
    def counting(path):
        paths.append(path)
        with opened(path) as container:
            yield container

    monkeypatch.setattr(containers, "opened", counting)
    return paths
