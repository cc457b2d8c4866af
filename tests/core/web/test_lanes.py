"""Lanes: so many side by side, each polite, none for long where the host refuses, and all gone at once when told."""

import threading
import time
from functools import partial

import pytest

from clipscout.transforms.core.web.lanes import (
    LANES_PER_GROUP,
    Gate,
    Lanes,
    NotTriedError,
    Politeness,
    batched,
    worked_off,
)


class Slow:
    """Takes a while for each item, and notes when and how many at once."""

    def __init__(self, log, seconds=0.05):
        self.log, self.seconds, self.killed = log, seconds, threading.Event()

    def work(self, item, stopped):
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


def lanes(log, count=4, most_ahead=1000, seconds=0.05):
    return Lanes(count, partial(Slow, log, seconds), most_ahead)


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


def gate(lanes=2, **politeness):
    return Gate(Politeness(**{"interval_seconds": 0.0, "blocked_limit": 3, **politeness}), lanes)


def test_a_lane_waits_between_two_starts_whoever_has_its_turns():
    shared, starts = gate(lanes=2, interval_seconds=0.2), []

    def ask():
        with shared.turn("a", threading.Event()):
            starts.append(time.monotonic())

    in_threads([ask] * 6)
    starts.sort()
    # two lanes: of any three starts the first and the last are an interval apart
    assert all(last - first >= 0.19 for first, last in zip(starts, starts[2:], strict=False))


def in_threads(tasks):
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("waits_for", ["its interval", "a free lane"])
def test_who_waits_for_a_turn_asks_nobody_once_the_lanes_are_stopped(waits_for):
    shared, stopped, asked = gate(lanes=1, interval_seconds=60.0), threading.Event(), []
    held = threading.Event()

    def hold():
        with shared.turn("a", threading.Event()):
            held.wait(10 if waits_for == "a free lane" else 0)

    holder = threading.Thread(target=hold)
    holder.start()
    time.sleep(0.1)

    def ask():
        with pytest.raises(NotTriedError, match="stopped"), shared.turn("a", stopped):
            asked.append(1)

    asker = threading.Thread(target=ask)
    asker.start()
    time.sleep(0.1)
    stopped.set()
    asker.join(2)
    assert not asker.is_alive()
    assert asked == []
    held.set()
    holder.join()


def test_who_waited_for_a_turn_does_not_ask_a_host_that_refused_meanwhile():
    shared, asked, refused = gate(lanes=1, blocked_limit=3), [], []

    def ask():
        try:
            with shared.turn("a", threading.Event()):
                time.sleep(0.01)
                asked.append(1)
                shared.note("a", "blocked")
        except NotTriedError as error:
            refused.append(str(error))

    in_threads([ask] * 10)
    assert len(asked) == 3
    assert refused == ["not tried: a refused before"] * 7
    with shared.turn("b", threading.Event()):  # says nothing of another host
        pass


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

    with Lanes(2, broken, 10) as some, pytest.raises(RuntimeError, match="no child"):
        list(worked_off((some, [1])))


def test_a_stop_ends_lanes_that_wait_for_their_turn_or_for_a_site():
    log = Log()
    some = lanes(log, count=3, seconds=60.0)
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
    shared = gate(lanes=4)
    for host, code in (("a", "blocked"), ("b", "blocked"), ("a", "blocked"), ("b", ""), ("a", "blocked")):
        shared.note(host, code)
    assert shared.closed("a") == "blocked"
    assert not shared.closed("b")
    for code in ("blocked", "not_found", "blocked", "blocked"):  # an answer of another kind
        shared.note("b", code)
    assert not shared.closed("b")


@pytest.mark.parametrize("code", ["network", "network_timeout", "server_error"])
def test_a_host_that_is_down_is_left_alone_after_as_many_tries_as_three_videos_have(code):
    shared = gate(attempts=2)
    for _ in range(6):
        with shared.turn("a", threading.Event()):
            shared.note("a", code)
    with (
        pytest.raises(NotTriedError, match="not tried: a did not answer before") as caught,
        shared.turn("a", threading.Event()),
    ):
        pass
    assert caught.value.code == "network"
    assert not shared.closed("b")


def test_an_answer_of_any_kind_shows_that_a_host_is_up():
    shared = gate(attempts=1)
    for code in ("network", "server_error", "not_found", "network", "network", "", "network", "network"):
        shared.note("a", code)
        assert not shared.closed("a")
    shared.note("a", "network_timeout")
    assert shared.closed("a") == "network"
    shared.note("a", "")  # one that was under way
    assert not shared.closed("a")


@pytest.mark.parametrize(("code", "rest"), [("network", "network"), ("proxy_failed", "proxy_failed")])
def test_where_there_is_no_way_to_any_host_none_is_asked_for_long(code, rest):
    shared = gate(attempts=1)
    for place in range(10):
        assert not shared.closed("another")
        shared.note(f"host{place}", code)
    assert shared.closed("another") == rest


def test_several_files_that_a_host_forbids_in_a_row_are_a_refusal_of_the_host():
    shared = gate(blocked_limit=3)
    for code in ("forbidden", "forbidden", "", "forbidden", "blocked"):
        shared.note("a", code)
        assert not shared.closed("a")
    shared.note("a", "forbidden")
    assert shared.closed("a") == "blocked"


def test_a_gate_lets_only_so_many_requests_through():
    shared, log = gate(lanes=2), Log()

    def ask():
        with shared.turn("a", threading.Event()):
            Slow(log, 0.02).work(1, threading.Event())

    in_threads([ask] * 8)
    assert log.most == 2


@pytest.mark.parametrize("count", [1, 2, 32, 33, 64, 100, 1000])
def test_the_shares_of_all_groups_are_the_lanes(count):
    politeness = Politeness(lanes=count)
    shares = [politeness.share(group) for group in range(politeness.groups())]
    assert sum(shares) == count
    assert max(shares) <= LANES_PER_GROUP
    assert min(shares) >= 1


def test_items_come_in_batches():
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
