"""When homes are looked into, without a file system."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hub_quotas.storage_agent import rounds
from hub_quotas.storage_agent.backend import Escape
from hub_quotas.storage_agent.rounds import Rounds, Use

HOMES = {"a": 1, "b": 2, "c": 3}
STEADY = {0: Use(10, 10), 1: Use(5, 5), 2: Use(5, 5), 3: Use(5, 5)}


class Disk:
    """Homes of three files each.

    Attributes:
        out: homes with a file that is not counted.
        looked: into which, in order.
    """

    def __init__(self) -> None:
        self.out: set[str] = set()
        self.looked: list[str] = []

    def look(self, home: str) -> Iterator[Escape | None]:
        self.looked.append(home)
        yield from (None, None, None)
        if home in self.out:
            self.out.remove(home)
            yield Escape(home, "found")


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def clean(disk) -> Rounds:
    """All was looked into, and right."""
    made = Rounds(disk.look)
    assert made.go_on(HOMES, STEADY, set()) == []
    assert sorted(disk.looked) == ["a", "b", "c"]
    disk.looked.clear()
    return made


@pytest.fixture
def no_sweep(monkeypatch) -> None:
    monkeypatch.setattr(rounds, "SWEEP", 0)


def found(made: Rounds, uses: dict[int, Use] = STEADY, tampered: tuple[str, ...] = ()) -> list[str]:
    return [escape.home for escape in made.go_on(HOMES, uses, set(tampered))]


def test_without_a_sign_it_takes_the_time_of_a_sweep(clean, disk, no_sweep):
    for _ in range(3):
        assert found(clean) == []
    assert disk.looked == ["a"], "a file at each call"
    for _ in range(40):
        found(clean)
    assert set(disk.looked) == {"a", "b", "c"}


@pytest.mark.parametrize("use", [Use(11, 10), Use(10, 11)], ids=["space", "inodes"])
@pytest.mark.parametrize("project", [0, 777])
def test_what_is_no_home_s_grew(clean, disk, no_sweep, use, project):
    disk.out.add("c")
    assert found(clean, STEADY | {project: use}) == ["c"]
    disk.looked.clear()
    assert found(clean) == []
    assert len(disk.looked) == 3, "what was found may not be all"
    disk.looked.clear()
    found(clean)
    assert len(disk.looked) <= 1


def test_what_homes_use_is_no_sign(clean, disk, no_sweep):
    found(clean, STEADY | {2: Use(500, 500)})
    assert disk.looked == ["a"] or disk.looked == ["b"]


def test_those_that_changed_come_first(clean, disk):
    found(clean)
    disk.looked.clear()
    found(clean, STEADY | {0: Use(11, 11), 3: Use(4, 4)})
    assert disk.looked == ["c", "a", "b"]


def test_one_with_a_sign_of_its_own_comes_first(clean, disk, no_sweep):
    disk.out.add("b")
    assert found(clean, tampered=("b",)) == ["b"]
    assert disk.looked[0] == "b"


def test_what_was_freed_is_not_filled_unseen(clean, disk, no_sweep):
    found(clean, STEADY | {0: Use(2, 2)})
    disk.out.add("a")
    assert found(clean, STEADY | {0: Use(9, 9)}) == ["a"]


def test_what_grows_while_it_looks_is_a_sign_afterwards(clean, disk, no_sweep, monkeypatch):
    monkeypatch.setattr(rounds, "LOOK", 0)
    grown = STEADY | {0: Use(11, 11)}
    found(clean, grown)
    grown[0] = Use(12, 12)
    while not {"a", "b", "c"} <= set(disk.looked):
        found(clean, grown)
    for _ in range(20):
        found(clean, grown)
    assert len(disk.looked) >= 6, "looked into once more, from the start"


def test_what_a_sweep_finds_makes_it_look_into_all(clean, disk, monkeypatch):
    disk.out.update("a")
    assert found(clean) == ["a"]
    monkeypatch.setattr(rounds, "SWEEP", 0)
    disk.looked.clear()
    found(clean)
    assert sorted(disk.looked) == ["a", "b", "c"]
