"""Where a file system sets no limits (NFS, overlay, ext4 without quotas), homes are measured.

The agent looks at each file, but never at more than some thousand a second; so what it says is as
old as a round through all homes takes. The hub keeps limits at the start of servers, the file
system does not.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .backend import Escape, Held
from .directories import make_directory
from .pace import Pace, after_everybody_else
from .walking import Walk, walk

BUDGET = 2000
"""Looks at files and directories a second."""
_REST_SECONDS = 300.0
"""No home is measured again sooner."""
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


@dataclass
class _Figure:
    """Attributes:
    used: bytes; None before a home was read wholly.
    began: when it was measured last, in seconds since 1970.
    """

    used: int | None
    began: float


@dataclass
class _Turn:
    """The home that is being measured.

    Attributes:
        inode: of its top: another directory of its name is begun anew.
    """

    home: str
    began: float
    inode: int
    walk: Walk = field(default_factory=Walk)


class Measuring:
    """A directory on any file system."""

    def __init__(
        self, path: Path, kind: str, budget: float = BUDGET, rest: float = _REST_SECONDS
    ) -> None:
        """Args:
        kind: of file system: `nfs4`.
        budget: looks a second.
        rest: seconds before a home is measured again.
        """
        self._path, self._kind, self._rest = path, kind, rest
        self._pace = Pace(budget)
        self._wanted: dict[str, int] = {}
        self._figures: dict[str, _Figure] = {}
        self._homes: set[str] = set()
        self._busy: Collection[str] = ()
        self._queue: list[str] = []
        self._turn: _Turn | None = None
        self._was_busy = False
        self._work = self._looks()
        self.problems: dict[str, str] = {}
        """Why homes can't be measured, in a sentence."""

    @property
    def name(self) -> str:
        return f"{self._kind}, measured only"

    def prepare(self) -> None:
        """Nothing has to be turned on."""

    def create(self, home: str, owner: tuple[int, int], mode: int) -> None:
        make_directory(self._path / home, owner, mode)

    def put(self, limits: Mapping[str, int | None]) -> dict[str, str]:
        """Remember them, to be read again: they hold at the start of servers."""
        for home, limit in limits.items():
            self._wanted.pop(home, None)
            if limit is not None:
                self._wanted[home] = limit
        return {}

    def read(self, homes: Collection[str]) -> dict[str, Held]:
        """What was seen when each was measured last, and the limit that is wanted."""
        found = {}
        for home in homes:
            figure = self._figures.get(home)
            if figure and figure.used is not None:
                found[home] = Held(figure.used, self._wanted.get(home))
        return found

    def repair(self, homes: Collection[str]) -> list[Escape]:
        """All is counted, whatever owners do."""
        return []

    def step(self, seconds: float, homes: Collection[str], busy: Collection[str] = ()) -> bool:
        """Go on measuring for a while; sooner back when there is nothing to be done.

        Args:
            homes: all there are.
            busy: those that are being used: every other turn is one of theirs.

        Returns:
            Whether there is more to be done.
        """
        new = [home for home in homes if home not in self._homes]
        self._queue[:0] = new
        self._homes, self._busy = set(homes), busy
        with after_everybody_else():
            going = self._pace.start(seconds)
            while going:
                try:
                    next(self._work)
                except StopIteration:
                    self._work = self._looks()
                    return False
                going = self._pace.look()
        return True

    def save(self, file: Path) -> None:
        """Write how far it has come, so that another can go on from there."""
        turn = self._turn and asdict(self._turn)
        if turn:
            turn["walk"]["links"] = sorted(turn["walk"]["links"])
        figures = {home: [figure.used, figure.began] for home, figure in self._figures.items()}
        text = json.dumps({"figures": figures, "queue": self._queue, "turn": turn})
        new = file.with_name(f".{file.name}.new")
        new.write_text(text)
        os.replace(new, file)

    def load(self, file: Path) -> None:
        """Go on from where it was saved; where nothing useful was, from the beginning."""
        try:
            found = json.loads(file.read_text())
            figures = {home: _Figure(*figure) for home, figure in found["figures"].items()}
            queue, turn = [str(home) for home in found["queue"]], found["turn"]
            self._turn = _turn(turn) if turn else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
        self._figures, self._queue, self._homes = figures, queue, {*figures, *queue}
        self._work = self._looks()

    def _looks(self) -> Iterator[None]:
        """All that is to be done now, a look at a time."""
        while True:
            if self._turn is None and (home := self._next()) is not None:
                self._turn = _Turn(home, time.time(), 0)
            if self._turn:
                yield from self._measure(self._turn)
                self._turn = None
            elif not (yield from self._begin_round()):
                return

    def _next(self) -> str | None:
        """Whose turn it is in this round; every other time, that of who is busy."""
        busy = [home for home in self._busy if home in self._homes and self._is_due(home)]
        if busy and not self._was_busy:
            self._was_busy = True
            return min(busy, key=self._began)
        self._was_busy = False
        while self._queue:
            home = self._queue.pop(0)
            if home in self._homes and self._is_due(home):
                return home
        return None

    def _began(self, home: str) -> float:
        figure = self._figures.get(home)
        return figure.began if figure else 0.0

    def _is_due(self, home: str) -> bool:
        return not 0 <= time.time() - self._began(home) < self._rest

    def _begin_round(self) -> Generator[None, None, bool]:
        """Those that have changed at the top come first, and then whose figure is oldest; whether
        anything is to be done at all."""
        for home in self._figures.keys() - self._homes:
            del self._figures[home]
            self.problems.pop(home, None)
        order = []
        for home in [home for home in self._homes if self._is_due(home)]:
            began = self._began(home)
            try:
                # The clock of files may be some milliseconds behind.
                changed = os.lstat(self._path / home).st_mtime > began - 1
            except OSError as error:
                if error.errno in _GONE:
                    self._forget(home, time.time())
                    yield None
                    continue
                changed = False  # why, measuring says
            yield None
            order.append((not changed, began, home))
        self._queue = [home for _unchanged, _began, home in sorted(order)]
        return bool(order)

    def _measure(self, turn: _Turn) -> Iterator[None]:
        top, problem = self._path / turn.home, ""
        try:
            inode = os.lstat(top).st_ino
            if inode != turn.inode:
                turn.inode, turn.walk = inode, Walk()
            for _counted in walk(top, turn.walk):
                yield None
        except OSError as error:
            if error.errno in _GONE:
                self._forget(turn.home, turn.began)
                return
            problem = f"{turn.home} can't be read: {error.strerror}."
        if turn.walk.unread:
            problem = f"In {turn.home}, {turn.walk.unread}."
        if problem:
            # What was known stays, and is old.
            known = self._figures.get(turn.home, _Figure(None, 0))
            self._figures[turn.home] = _Figure(known.used, turn.began)
            self.problems[turn.home] = f"{problem} The agent has to be one who may read homes."
        else:
            self._figures[turn.home] = _Figure(turn.walk.used, turn.began)
            self.problems.pop(turn.home, None)

    def _forget(self, home: str, now: float) -> None:
        """It is not there."""
        self._figures[home] = _Figure(None, now)
        self.problems.pop(home, None)


def _turn(found: Any) -> _Turn:
    walked = found["walk"]
    links = {(int(device), int(inode)) for device, inode in walked["links"]}
    pending = [str(path) for path in walked["pending"]]
    state = Walk(pending, int(walked["used"]), links, str(walked["unread"]))
    return _Turn(str(found["home"]), float(found["began"]), int(found["inode"]), state)
