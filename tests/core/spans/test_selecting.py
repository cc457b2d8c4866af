"""Selection over all videos: exact, stable, and every drop has its rule."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from clipscout.transforms.core.spans.selecting import RULES, Contender, SelectionSettings, select

CAP = st.none() | st.integers(1, 4)
CONTENDERS = st.lists(
    st.builds(
        lambda score, video, start: Contender(-score, f"v{video}", start, start + 2.0, f"c{video // 2}"),
        st.integers(0, 4).map(lambda tenths: tenths / 10),
        st.integers(0, 5),
        st.integers(0, 3).map(float),
    ),
    max_size=30,
)


@given(CONTENDERS, st.builds(SelectionSettings, CAP, CAP, CAP), st.randoms())
def test_no_cap_is_passed_nothing_better_is_dropped_and_order_does_not_matter(contenders, rule, random):
    chosen = list(select(contenders, rule))
    shuffled = contenders[:]
    random.shuffle(shuffled)
    assert list(select(shuffled, rule)) == chosen
    assert Counter(contender for contender, _ in chosen) == Counter(set(contenders))
    kept = [contender for contender, dropped_by in chosen if not dropped_by]

    def counted(name, among):
        group = {"clips_per_video": lambda c: c.key, "clips_per_channel": lambda c: c.channel}.get(name, lambda _: "")
        return Counter(map(group, among)), group

    for name in RULES:
        cap = getattr(rule, name)
        counts, group = counted(name, kept)
        assert cap is None or max(counts.values(), default=0) <= cap
        for contender, dropped_by in chosen:
            if dropped_by == name:  # its group is full of others that are at least as good
                full = [other for other in kept if group(other) == group(contender)]
                assert len(full) == cap
                assert all(other < contender for other in full)


def test_the_strongest_are_kept_and_equal_scores_go_by_key_and_start():
    contenders = [
        Contender(-0.5, "b", 0.0, 2.0, "x"),
        Contender(-0.5, "a", 4.0, 6.0, "x"),
        Contender(-0.5, "a", 0.0, 2.0, "x"),
        Contender(-0.9, "c", 0.0, 2.0, "y"),
    ]
    found = [(c.key, c.start_seconds, rule) for c, rule in select(contenders, SelectionSettings(1, 2, 2))]
    assert found == [("c", 0, ""), ("a", 0, ""), ("a", 4, "clips_per_video"), ("b", 0, "clips_per_action")]
    assert not SelectionSettings()
    assert SelectionSettings(clips_per_channel=1)
