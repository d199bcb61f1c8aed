"""Snapshots in a real database and a real folder."""

from __future__ import annotations

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from test_link_store import Clock, store

from hub_groups.database import reading, writing
from share_links import sharing
from share_links import store as stores
from share_links.addresses import LaunchError
from share_links.launch import Launch, Target
from share_links.links import Source, Terms
from share_links.schema import snapshot
from share_links.sharing import Used
from share_links.snapshots import Snapshots
from share_links.store import TooManyLinks

__all__ = ["store"]

MAP = Launch(target=Target(file="map.ipynb"))
SOURCE = Source({"profile": "large", "extra": {"gpus": [1]}}, "lab:1", "sha256:a")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "share_links_snapshots"


@pytest.fixture
def kept(store, folder) -> Snapshots:
    return Snapshots(store, folder)


def share(kept, data=b"x", by="ada", until=None):
    return kept.share(MAP, by, Terms(until=until), SOURCE, data)


def rows(store) -> list[str]:
    with reading(store.engine) as db:
        return sorted(db.scalars(sa.select(snapshot.c.id)))


def age(folder) -> None:
    for path in folder.iterdir():
        os.utime(path, (1, 1))


def test_a_file_is_kept_as_long_as_its_link_works(store, kept, folder):
    data = bytes(range(256))
    link = share(kept, data, until=2_000)
    assert store.link(link.id) == link
    assert (link.source, link.launch) == (SOURCE, MAP)
    assert kept.read(link.snapshot) == data
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == [link.snapshot]
    assert stat.S_IMODE((folder / link.snapshot).stat().st_mode) == 0o600
    assert kept.sweep() == 0
    assert kept.used("ada") == Used(1, 256)
    assert kept.used("sam") == Used()
    store.clock.at = 2_000
    with pytest.raises(LaunchError, match="not there any more"):
        kept.read(link.snapshot)
    assert kept.used("ada") == Used()
    assert kept.sweep() == 1
    assert (list(folder.iterdir()), rows(store)) == ([], [])


def test_a_link_that_is_taken_back(store, kept, folder):
    link, other = share(kept), share(kept, b"other")
    store.revoke(link.id, "ada")
    with pytest.raises(LaunchError, match="not there any more"):
        kept.read(link.snapshot)
    assert kept.sweep() == 1
    assert [path.name for path in folder.iterdir()] == rows(store) == [other.snapshot]
    assert kept.read(other.snapshot) == b"other"


def test_nobody_keeps_more_than_there_may_be(store, kept, folder, monkeypatch):
    monkeypatch.setattr(sharing, "MOST_SNAPSHOTS", 2)
    monkeypatch.setattr(sharing, "MOST_BYTES", 5)
    monkeypatch.setattr(sharing, "MOST_BYTES_OF_ALL", 7)
    with pytest.raises(LaunchError, match="at most"):
        share(kept, b"123456")
    first = share(kept, b"1234")
    with pytest.raises(LaunchError, match="no room"):
        share(kept, b"1234")
    share(kept, b"1")
    with pytest.raises(LaunchError, match="2 of 2 copies"):
        share(kept, b"1")
    share(kept, b"1", by="sam")
    store.revoke(first.id, "ada")  # counts no more, also before it is swept
    share(kept, b"1234")


def test_nobody_keeps_more_by_asking_twice_at_once(store, kept, monkeypatch):
    monkeypatch.setattr(sharing, "MOST_SNAPSHOTS", 3)
    asked = threading.Barrier(8)

    def one(_number: int) -> bool:
        asked.wait()
        try:
            return bool(share(kept))
        except LaunchError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(8))) == 3
    assert kept.used("ada") == Used(3, 3)


def test_what_does_not_become_a_link_leaves_no_file(store, kept, folder, monkeypatch):
    monkeypatch.setattr(stores, "MOST_LINKS", 0)
    with pytest.raises(TooManyLinks):
        share(kept)
    assert (list(folder.iterdir()), rows(store)) == ([], [])


def test_killed_between_the_file_and_its_row(store, kept, folder):
    link = share(kept)
    kept.write("written", b"x")
    (folder / "half.part").write_bytes(b"x")
    assert kept.sweep() == 0  # it may be on its way
    age(folder)
    assert kept.sweep() == 2
    assert [path.name for path in folder.iterdir()] == [link.snapshot]


def test_killed_between_the_row_and_its_file(store, kept, folder):
    """A row goes before its file, so what is left then is a file; or a disk that was lost."""
    link, other = share(kept), share(kept)
    with writing(store.engine) as db:
        db.execute(sa.delete(snapshot).where(snapshot.c.id == link.snapshot))
    age(folder)
    assert kept.sweep() == 1
    (folder / other.snapshot).unlink()
    assert kept.sweep() == 1
    assert (list(folder.iterdir()), rows(store)) == ([], [])
    with pytest.raises(LaunchError, match="not there any more"):
        kept.read(other.snapshot)


def test_a_file_that_was_damaged_is_not_handed_on(kept, folder):
    link = share(kept)
    (folder / link.snapshot).write_bytes(b"y")
    with pytest.raises(LaunchError, match="not there any more"):
        kept.read(link.snapshot)


def test_an_empty_file(kept):
    assert kept.read(share(kept, b"").snapshot) == b""


def test_a_folder_is_not_made_before_there_is_something_to_keep(kept, folder):
    assert kept.sweep() == 0
    assert not folder.exists()
    assert Clock.at == 1_000
