"""Keeps a file system as the hub wants it: takes changes, looks again, tells what is used."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .backend import Backend, Escape, Folder, Held, Place, StorageError, holds
from .layout import Template
from .measuring import Measuring
from .memory import OTHER, USER, Heard, Memory
from .service import MountState, Use

log = logging.getLogger("hub-storage-agent")

_WORTH_TELLING = 1 << 20
"""Bytes by which use has to change to be told again."""
_MOST_PROBLEMS = 50
_NOTHING = Held(0)


@dataclass(frozen=True)
class Layout:
    """Where homes and shared directories are, below the root."""

    homes: Template
    shared: Template | None = None

    def path(self, kind: str, name: str) -> str | None:
        """Raises StorageError: no directory can have that name."""
        template = self.homes if kind == USER else self.shared
        return template.home(name) if template else None


@dataclass(frozen=True)
class Owner:
    """Whose new directories are, by number, and their mode."""

    user: int
    group: int
    mode: int = 0o700


@dataclass(frozen=True)
class Goal:
    """What is to hold for one directory; bytes, None for no limit."""

    kind: str
    name: str
    limit: int | None


class Keeper:
    """Of one root.

    Args:
        owner: of directories that don't exist yet; None where others make them.
        place: where homes are, if not in the directory that is the root.
    """

    def __init__(
        self,
        root: Path,
        backend: Backend,
        layout: Layout,
        memory: Memory,
        owner: Owner | None = None,
        place: Place | None = None,
    ) -> None:
        self._root, self._backend, self._layout = root, backend, layout
        self._memory, self._owner = memory, owner
        self._measuring = backend if isinstance(backend, Measuring) else None
        self._strangers: Mapping[str, Goal] = {}
        self._place = place or Folder(root)
        self._known: dict[str, Use] = {}
        self._problems: dict[str, str] = {}
        self._told: dict[tuple[str, str], Use] = {}
        self._escapes: list[Escape] = []
        heard = memory.read()
        self.epoch, self.number, self._otherwise = heard.epoch, heard.number, heard.otherwise
        self.goals = self._goals(heard.limits)
        self._unsaved = False
        if self._measuring and memory.measured:
            self._measuring.load(memory.measured)

    def _goals(self, limits: Mapping[tuple[str, str], int | None]) -> dict[str, Goal]:
        found = {}
        for (kind, name), limit in limits.items():
            try:
                path = self._layout.path(kind, name)
            except StorageError as error:
                log.warning("%s", error)
                continue
            if path is not None:
                found[path] = Goal(kind, name, limit)
        return found

    def take(self, heard: Heard) -> None:
        """What the hub says: kept on disk, then applied. What does not differ costs nothing."""
        try:
            self._memory.write(heard)
        except StorageError as error:  # limits hold all the same, but for a start without the hub
            log.error("%s", error)
        # Whom it names no more has what anybody else has, from the next look on.
        self.apply(self.learn(heard))

    def learn(self, heard: Heard) -> dict[str, int | None]:
        """Make it the goal; returns the limits that differ from the goal before."""
        self.epoch, self.number, self._otherwise = heard.epoch, heard.number, heard.otherwise
        before, new = self.goals, self._goals(heard.limits)
        self.goals = new if heard.whole else {**before, **new}
        return {path: goal.limit for path, goal in new.items() if before.get(path) != goal}

    def apply(self, limits: Mapping[str, int | None]) -> None:
        """Make limits hold, and directories where that is for the agent to do."""
        if self._owner:
            for path in limits:
                self._create(path, self._owner)
        problems = self._backend.put(limits)
        for path, limit in limits.items():
            problem = problems.get(path, "")
            if problem and problem != self._problems.get(path):
                log.warning("%s", problem)
            self._problems.pop(path, None)
            if problem:
                self._problems[path] = problem
            if known := self._known.get(path):
                applied = known.applied if problem else limit
                self._known[path] = replace(known, applied=applied, problem=problem)

    def _create(self, path: str, owner: Owner) -> None:
        if not os.path.lexists(self._root / path):
            try:
                self._backend.create(path, (owner.user, owner.group), owner.mode)
            except (StorageError, OSError) as error:
                log.warning("%s can't be made: %s", path, error)

    def check(self) -> None:
        """Look at everything, and put right what is not."""
        if wrong := self.differences():
            self.apply(wrong)
        for escape in self._backend.repair(list(self._known)):
            log.warning("%s: %s", escape.home, escape.what)
            self._escapes.append(escape)

    def differences(self) -> dict[str, int | None]:
        """Limits that do not hold, or of directories that do not exist yet."""
        self._strangers = self._others()
        goals = {**self._strangers, **self.goals}
        held = self._backend.read(goals)
        known, wrong = {}, {}
        for path, goal in goals.items():
            one = held.get(path, _NOTHING)
            if is_right := holds(one, goal.limit):
                self._problems.pop(path, None)
            problem = self._problem(path)
            if one is not _NOTHING or problem:
                old = self._known.get(path)
                same = old and (old.used, old.applied, old.problem) == (
                    one.used,
                    one.limit,
                    problem,
                )
                new = Use(goal.kind, goal.name, one.used, one.limit, problem)
                known[path] = old if old and same else new
            if not is_right or (self._owner and one is _NOTHING):
                wrong[path] = goal.limit
        self._known = known
        return wrong

    def _problem(self, path: str) -> str:
        unread = self._measuring.problems.get(path, "") if self._measuring else ""
        return self._problems.get(path, "") or unread

    def measure(self, seconds: float) -> bool:
        """Go on measuring, where that is how use is known; whether there is more to do.

        Args:
            seconds: after which it has to stop; sooner back where there is nothing to do.
        """
        if not self._measuring:
            return False
        self._unsaved = True
        return self._measuring.step(seconds, self._strangers.keys() | self.goals.keys())

    def keep(self) -> None:
        """Write down how far measuring has come, so that the next start goes on from there."""
        if self._measuring and self._memory.measured and self._unsaved:
            try:
                self._measuring.save(self._memory.measured)
                self._unsaved = False
            except OSError as error:
                log.error("What was measured can't be kept on disk: %s", error)

    def find(self, kind: str, name: str) -> Path:
        """Where a home is; raises StorageError: there is none of that name, or it is a volume."""
        if not isinstance(self._place, Folder):
            raise StorageError("Homes here are volumes, which can't be looked into from outside.")
        path = self._layout.path(kind, name) if kind == USER else None
        if path is None:
            raise StorageError(f"There is no home of {name} here.")
        return self._root / path

    def holds(self, path: str) -> int | None:
        """The limit that held at the last look."""
        known = self._known.get(path)
        return known.applied if known else None

    def _others(self) -> dict[str, Goal]:
        """Homes of people whom the hub does not name: in no group, renamed, gone. They keep what
        is in them, and have the limit of anybody else, if there is one."""
        if self._otherwise is None:
            return {}
        parent, found = self._layout.homes.parent, {}
        try:
            for name in self._place.listed(parent):
                path = f"{parent}/{name}".lstrip("/")
                if path not in self.goals and self._layout.homes.matches(path):
                    found[path] = Goal(OTHER, path, self._otherwise)
        except OSError as error:
            log.warning("%s can't be listed: %s.", parent or self._root, error.strerror)
        return found

    @property
    def uses(self) -> list[Use]:
        """What was seen at the last look."""
        return list(self._known.values())

    # -- what the hub is told ------------------------------------------------------------------

    def state(self) -> MountState:
        """The file system as a whole."""
        size, free = self._place.room()
        problems = [f"{escape.home}: {escape.what}" for escape in self._escapes]
        return MountState(self._backend.name, size, free, tuple(problems[-_MOST_PROBLEMS:]))

    def news(self) -> tuple[list[Use], list[str]]:
        """What has changed since it was told last, and as KIND/NAME what is gone."""
        known = {(use.kind, use.name): use for use in self._known.values()}
        some = [use for key, use in known.items() if _differs(self._told.get(key), use)]
        return some, ["/".join(key) for key in self._told if key not in known]

    def told(self, some: Iterable[Use], gone: Iterable[str]) -> None:
        """The hub knows this now."""
        self._told.update({(use.kind, use.name): use for use in some})
        for entry in gone:
            kind, _slash, name = entry.partition("/")
            self._told.pop((kind, name), None)
        self._escapes.clear()


def _differs(told: Use | None, use: Use) -> bool:
    if told is None or (told.applied, told.problem) != (use.applied, use.problem):
        return True
    if told.used is None or use.used is None:
        return told.used is not use.used
    return abs(told.used - use.used) >= _WORTH_TELLING or _is_over(told) != _is_over(use)


def _is_over(use: Use) -> bool:
    """What is no longer over a soft limit has its hard one again, however little was deleted."""
    return use.applied is not None and (use.used or 0) > use.applied
