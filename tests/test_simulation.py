"""Short runs of the simulation; CI can run longer ones with other seeds."""

from __future__ import annotations

import pytest
from simulation import simulate

WENT_WRONG = ("reply lost", "breaks inside", "repeated", "restarts", "outages", "clock steps")
HAPPENED = ("admitted", "refused", "late", "reconciled", "moves", "credits")


@pytest.mark.parametrize("seed", range(4))
def test_a_day_with_faults(seed, tmp_path):
    counts = simulate(seed, 1, tmp_path).counts
    assert all(counts[what] for what in (*WENT_WRONG, *HAPPENED)), counts


def test_the_same_seed_is_the_same_run(tmp_path):
    digests = []
    for number, seed in enumerate((7, 7, 8)):
        folder = tmp_path / str(number)
        folder.mkdir()
        digests.append(simulate(seed, 0.3, folder).digest)
    assert digests[0] == digests[1] != digests[2]
