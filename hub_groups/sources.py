"""Sources that are read again and again: rosters on disk and directories.

Their difference to what they said last is written; one that would take too many out at once waits
for an admin, since an empty file or a wrong filter looks like everybody has left.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .directory import DirectoryError
from .memberships import Difference, Roll, roll_with_parents
from .record import Run, runs, save_run
from .roster import RosterError, read_roster
from .store import GroupStore

log = logging.getLogger("group-quotas")

_TICK_SECONDS = 5
_FEW = 20
"""So many may leave at once, however few there are."""
_REST = 20
"""A source that takes long is read again after so many times as long."""
_at_once: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""By source: an admin on a page, and the clock, do not write the same one at the same time."""


class SourceError(RuntimeError):
    """A source can't be read; the message says what was wrong and what would be right."""


@dataclass(frozen=True)
class Source:
    """Something that says who is in which group.

    Attributes:
        name: as memberships have it: `ldap`, `roster:FILE`.
        read: all that it says; blocks, and raises SourceError.
        seconds: from one reading to the next.
        version: what changes when there is something new; None where only reading tells.
    """

    name: str
    read: Callable[[], Roll]
    seconds: float
    version: Callable[[], object] | None = None


def sources_of(settings: Mapping[str, Any]) -> list[Source]:
    """Those that the hub's configuration names.

    Args:
        settings: what `activate` handed over.
    """
    sources = [roster_source(Path(path)) for path in settings["rosters"]]
    if settings["ldap"]:
        sources.append(ldap_source(settings["ldap"], settings["ldap_every"], settings["parents"]))
    return sources


def roster_source(path: Path) -> Source:
    """A roster on disk, which is read when it has changed."""

    def read() -> Roll:
        try:
            return read_roster(path.read_bytes(), path.name)
        except FileNotFoundError:
            raise SourceError(
                f"There is no {path}. Put it there, or take it out of c.HubGroups.rosters."
            ) from None
        except OSError as error:
            raise SourceError(f"{path} can't be read: {error.strerror or error}.") from None
        except RosterError as error:
            raise SourceError(str(error)) from None

    def version() -> object:
        try:
            found = path.stat()
        except OSError as error:
            return str(error)
        return found.st_mtime_ns, found.st_size, found.st_ino

    return Source(f"roster:{path.name}", read, _TICK_SECONDS, version)


def ldap_source(said: Mapping[str, object], seconds: float, parents: bool) -> Source:
    """A directory.

    Args:
        said: see `ldap_source.LdapSettings`.
        parents: whether members of `a/b` are in `a` too.
    """

    def read() -> Roll:
        from .ldap_source import LdapSettingsError, ldap_settings, read_directory

        try:
            found = read_directory(ldap_settings(said))
        except (LdapSettingsError, DirectoryError) as error:
            raise SourceError(str(error)) from None
        for note in found.notes:
            log.warning("ldap: %s", note)
        return roll_with_parents(found.roll) if parents else found.roll

    return Source("ldap", read, seconds)


def too_many(found: Difference, size: int) -> bool:
    """Whether a difference takes out more than half of what there is."""
    return len(found.removed) > max(_FEW, size // 2)


def look(store: GroupStore, source: Source) -> tuple[Difference, int]:
    """What a source would change now, and how many memberships it says. Blocks.

    Raises:
        SourceError
    """
    roll = source.read()
    return store.difference(source.name, roll), sum(map(len, roll.values()))


def read_source(
    store: GroupStore, source: Source, by: str = "", seen: Difference | None = None
) -> Run:
    """Read a source and write what has changed; remember how that went. Blocks.

    Args:
        by: the admin who wants it, however much it takes out; empty for nobody.
        seen: the difference that this admin has seen. Where it takes out others by now, it is
            held like anybody's.
    """
    with _at_once[source.name]:
        return _read_source(store, source, by, seen)


def _read_source(store: GroupStore, source: Source, by: str, seen: Difference | None) -> Run:
    began = time.monotonic()
    before = runs(store).get(source.name) or Run(source.name)
    try:
        found, size = look(store, source)
    except SourceError as error:
        log.error("%s not read, its memberships stay as they were: %s", source.name, error)
        result = Run(source.name, good_at=before.good_at, problem=str(error), size=before.size)
    else:
        wanted = bool(by) and (seen is None or set(found.removed) <= set(seen.removed))
        result = _write(store, source, found, size, by, wanted)
        result = replace(result, good_at=before.good_at) if result.held else result
    took_ms = int((time.monotonic() - began) * 1000)
    result = replace(result, at=store.clock(), took_ms=took_ms)
    save_run(store, result)
    return result


def _write(
    store: GroupStore, source: Source, found: Difference, size: int, by: str, wanted: bool
) -> Run:
    result = Run(
        source.name,
        good_at=store.clock(),
        added=len(found.added),
        removed=len(found.removed),
        changed=len(found.changed),
        size=size,
    )
    had = size - result.added + result.removed
    if too_many(found, had) and not wanted:
        why = f"{result.removed:,} of {had:,} memberships would be removed at once"
        log.error("%s is not written: %s. An admin can on the groups pages.", source.name, why)
        return replace(result, size=had, held=why)
    store.apply(source.name, found, by)
    return result


async def keep_reading(store: GroupStore, sources: list[Source]) -> None:
    """Each source at its time, one after the other, for as long as the pages' process lives."""
    due = dict.fromkeys((source.name for source in sources), 0.0)
    seen: dict[str, object] = {}
    while sources:
        for source in sources:
            if time.monotonic() < due[source.name]:
                continue
            began = time.monotonic()
            try:
                await asyncio.to_thread(_read_if_new, store, source, seen)
            except Exception:
                log.exception("%s can't be read; trying again", source.name)
            took = time.monotonic() - began
            due[source.name] = time.monotonic() + max(source.seconds, _REST * took)
        await asyncio.sleep(min(_TICK_SECONDS, *(source.seconds for source in sources)))


def _read_if_new(store: GroupStore, source: Source, seen: dict[str, object]) -> None:
    version = source.version() if source.version else None
    if version is not None and seen.get(source.name) == version:
        return
    read_source(store, source)
    seen[source.name] = version
