"""Ledgers on both kinds of database, with a clock that stands still; import the fixtures."""

from __future__ import annotations

import pytest
from postgres import fresh_database

from hub_quotas.store import QuotaStore

START = 1_790_000_000_000_000
"""21 September 2026, 14:13:20 UTC."""


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/quotas.sqlite"
    return fresh_database(request.getfixturevalue("postgres_url"))


@pytest.fixture
def store(url, clock):
    store = QuotaStore(url, clock=clock)
    yield store
    store.close()
