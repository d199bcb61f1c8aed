"""When people are told that a directory fills up, and what is said of file systems."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub_quotas.storage_words import (
    SHARES,
    Part,
    due,
    level,
    say_backend,
    say_promise,
    stem_of,
    warning,
)

GIB = 2**30
HOME = ("user", "homes", "pat")
LOW, HIGH = (stem_of(share, *HOME) for share in SHARES)


def told_by(uses: list[float]) -> list[tuple[float, float, bool]]:
    """(use, the share of which is told, quietly) as a home is used so much, one after the other."""
    told: set[str] = set()
    said = []
    for used in uses:
        found = due(*HOME, used, told)
        told -= set(found.over)
        if found.share:
            told.add(stem_of(found.share, *HOME))
            said.append((used, found.share, found.quietly))
    return said


def test_once_at_each_share_until_use_falls_clearly_below():
    assert told_by([0.5, 0.81, 0.79, 0.83, 0.96, 0.94, 0.97, 1.2]) == [
        (0.81, 0.8, False),
        (0.96, 0.95, False),
    ]
    assert told_by([0.81, 0.7, 0.81]) == [(0.81, 0.8, False), (0.81, 0.8, False)]


def test_who_comes_down_is_not_sent_another():
    assert told_by([0.97, 0.85]) == [(0.97, 0.95, False), (0.85, 0.8, True)]
    assert told_by([0.97, 0.85, 0.97])[-1] == (0.97, 0.95, False)


def test_what_is_true_no_more_is_over():
    assert due(*HOME, 0.5, {LOW, HIGH, "storage 0.8 user homes another"}).over == (LOW, HIGH)
    assert due(*HOME, 0.93, {LOW, HIGH}).over == ()
    assert due(*HOME, 0, {LOW}).over == (LOW,), "its limit was lifted"


@given(st.lists(st.floats(0, 2), max_size=30))
def test_whoever_is_above_a_share_has_been_told_so(uses):
    told: set[str] = set()
    for used in uses:
        found = due(*HOME, used, told)
        told = (told - set(found.over)) | ({stem_of(found.share, *HOME)} if found.share else set())
        assert (used >= SHARES[0]) <= bool(told)
        assert (used >= SHARES[1]) <= (HIGH in told)
        assert used >= 0.76 or not told


def test_a_warning_says_how_much_of_what_counts_what_to_do_and_whom_to_ask():
    said = warning("Your home", 0.8, 8 * GIB + 2**28, 10 * GIB, ["ada", "bo"], "geo")
    assert said == (
        "Your home has passed 80% of what it may hold: 8.2 of 10 GiB are used. All that is in it "
        "counts, hidden files and the trash too. Delete what is not needed, and empty the trash. "
        "To get more, ask ada or bo, who manage geo."
    )
    assert "is nearly full" in warning("Your home", 0.95, 96, 100, [], "geo")
    assert "nothing more can be saved" in warning("Your home", 0.95, 120, 100, [], "geo")
    assert "ask an admin of this hub" in warning("Your home", 0.95, 96, 100, [], "geo")


def test_file_systems_in_words():
    assert say_promise(9 * GIB, 10 * GIB) == "Limits promise 9 GiB of 10 GiB."
    assert say_promise(14 * GIB, 10 * GIB).startswith("Limits promise 1.4 times what there is")
    assert say_backend("xfs, project quotas") == "limits hold (XFS, project quotas)"
    assert say_backend("nfs4, measured only") == "limits are not set here, only measured (nfs4)"
    assert say_backend("something, new") == "something, new"


def test_the_bar_is_as_wide_as_what_is_there_or_is_promised():
    parts = [Part("homes", "Homes <b>", 25), Part("free", "Free", 75)]
    drawn = level(parts, 100, 200, "a <b>")
    assert 'class="level-size" x="0" y="6" width="50.00%"' in drawn
    assert 'class="level-homes" x="0.00%" y="6" width="12.50%"' in drawn
    assert 'class="level-mark" x1="100.00%"' in drawn
    assert "<b>" not in drawn
    assert 'width="100.00%"' in level(parts, 100, 50, "x")
    assert level([], 0, 0, "x")
