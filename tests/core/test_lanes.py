"""Lanes: so many side by side, each polite, none for long where the host refuses, and all gone at once when told."""

import itertools
import threading
import time
from functools import partial

import pytest

from transforms.core.lanes import LANES_PER_GROUP, Gate, Lane, Lanes, Politeness, batched, worked_off


class Slow:
    """Takes a while for each item, and notes when and how many at once."""

    def __init__(self, log, seconds=0.05):
        self.log, self.seconds, self.killed = log, seconds, threading.Event()

    def work(self, item, lane: Lane):
        lane.wait_turn()
        with self.log.lock:
            self.log.now += 1
            self.log.most = max(self.log.most, self.log.now)
            self.log.starts.append((threading.current_thread().name, time.monotonic()))
        self.killed.wait(self.seconds)
        with self.log.lock:
            self.log.now -= 1
        if isinstance(item, Exception):
            raise item
        return item

    def kill(self):
        self.killed.set()

    def close(self):
        self.log.closed += 1


class Log:
    def __init__(self):
        self.lock, self.now, self.most, self.starts, self.closed = threading.Lock(), 0, 0, [], 0


def lanes(log, count=4, interval_seconds=0.0, most_ahead=1000, seconds=0.05):
    return Lanes(count, interval_seconds, partial(Slow, log, seconds), most_ahead)


def test_so_many_are_under_way_at_once_and_all_come_back():
    log = Log()
    with lanes(log) as some:
        found = [result for result in worked_off((some, range(40))) if result is not None]
    assert sorted(found) == list(range(40))
    assert log.most == 4
    assert log.closed == 4


def test_an_item_starts_no_more_lanes_than_there_is_work():
    log = Log()
    with lanes(log, count=30) as some:
        assert list(filter(lambda one: one is not None, worked_off((some, [7])))) == [7]
    assert log.closed == 1


def test_a_lane_waits_between_two_starts():
    log = Log()
    with lanes(log, count=2, interval_seconds=0.2, seconds=0.0) as some:
        list(worked_off((some, range(6))))
    for name in {name for name, _ in log.starts}:
        own = [start for lane, start in log.starts if lane == name]
        assert all(after - before >= 0.19 for before, after in itertools.pairwise(own))


def test_only_so_many_items_are_ahead_of_who_takes_the_results():
    log = Log()
    with lanes(log, most_ahead=5, seconds=0.0) as some:
        taken = worked_off((some, range(50)))
        next(taken)
        time.sleep(0.2)
        assert some.ahead == 4
        assert len(log.starts) == 5
        assert sum(one is not None for one in taken) == 49


def test_who_takes_the_results_learns_that_there_is_none_for_a_moment():
    with lanes(Log(), count=1, seconds=0.5) as some:
        found = list(worked_off((some, [1])))
        assert found[0] is None
        assert found[-1] == 1


def test_several_lanes_give_their_results_in_one_stream():
    fast, slow = Log(), Log()
    with lanes(fast, seconds=0.0) as some, lanes(slow, count=1, seconds=0.1).beside(some) as others:
        found = [one for one in worked_off((some, range(5)), (others, range(10, 13))) if one is not None]
    assert sorted(found) == [0, 1, 2, 3, 4, 10, 11, 12]
    assert slow.most == 1


def test_what_a_worker_raises_reaches_who_takes_the_results():
    with lanes(Log()) as some, pytest.raises(OSError, match="no disk"):
        list(worked_off((some, [1, OSError("no disk"), 2])))


def test_a_worker_that_cannot_be_made_is_told():
    def broken():
        raise RuntimeError("no child")

    with Lanes(2, 0.0, broken, 10) as some, pytest.raises(RuntimeError, match="no child"):
        list(worked_off((some, [1])))


def test_a_stop_ends_lanes_that_wait_for_their_turn_or_for_a_site():
    log = Log()
    some = lanes(log, count=3, interval_seconds=60.0, seconds=60.0)
    for item in range(9):
        some.put(item)
    while log.now < 3:
        time.sleep(0.01)
    start = time.monotonic()
    some.close()
    assert time.monotonic() - start < 2
    assert log.closed == 3
    assert len(log.starts) == 3  # none began another


def test_blocks_are_counted_per_host():
    gate = Gate(4, blocked_limit=3)
    for host, code in (("a", "blocked"), ("b", "blocked"), ("a", "blocked"), ("b", ""), ("a", "blocked")):
        gate.note(host, code)
    assert gate.refuses("a")
    assert not gate.refuses("b")
    gate.note("b", "blocked")
    gate.note("b", "not_found")  # an answer of another kind
    gate.note("b", "blocked")
    gate.note("b", "blocked")
    assert not gate.refuses("b")


def test_a_gate_lets_only_so_many_requests_through():
    gate, most, now = Gate(2, 3), [0], [0]
    lock = threading.Lock()

    def ask():
        with gate.request():
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.02)
            with lock:
                now[0] -= 1

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [2]


@pytest.mark.parametrize("count", [1, 2, 32, 33, 64, 100, 1000])
def test_the_shares_of_all_groups_are_the_lanes(count):
    politeness = Politeness(lanes=count)
    shares = [politeness.share(group) for group in range(politeness.groups())]
    assert sum(shares) == count
    assert max(shares) <= LANES_PER_GROUP
    assert min(shares) >= 1


def test_items_come_in_batches():
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
