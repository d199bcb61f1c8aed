"""Limits of local servers, held by the kernel: each server in a control group (cgroup) of its own.

`c.JupyterHub.spawner_class = "hub_quotas.cgroups.LimitedLocalProcessSpawner"` is all there is to
set. Linux only. Where the hub can't write cgroups, servers start all the same, and the hub's log
says that their limits are advisory.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner
from jupyterhub.utils import maybe_future

from .quantities import RESOURCES

PARENT = "jupyterhub-quotas"
"""The directory that holds the groups of all servers."""
CONTROLLERS = ("memory", "cpu")
PROC = Path("/proc/self")

_PERIOD = 100_000
_SHORTEST_QUOTA = 1_000  # the kernel takes no less
_NOT_ON_EVERY_KERNEL = {"memory.memsw.limit_in_bytes", "memory.swap.max", "memory.oom.group"}
_STATE_KEY = "cgroups"

# -- what to write: pure ----------------------------------------------------------------------


def limit_files(version: str, memory: int | None, cores: float | None) -> dict[str, dict[str, str]]:
    """Values by file, in the order in which the kernel takes them, by controller.

    Args:
        version: `v1` or `v2`.
        memory: bytes; nothing is written for None or 0. Swap adds nothing to it.
        cores: of CPU, at least 0.01; nothing is written for None or 0.
    """
    files: dict[str, dict[str, str]] = {}
    if memory:
        files["memory"] = (
            {"memory.limit_in_bytes": str(memory), "memory.memsw.limit_in_bytes": str(memory)}
            if version == "v1"
            else {"memory.max": str(memory), "memory.swap.max": "0", "memory.oom.group": "1"}
        )
    if cores:
        quota = max(_SHORTEST_QUOTA, round(cores * _PERIOD))
        files["cpu"] = (
            {"cpu.cfs_period_us": str(_PERIOD), "cpu.cfs_quota_us": str(quota)}
            if version == "v1"
            else {"cpu.max": f"{quota} {_PERIOD}"}
        )
    return files


def directory_name(user: str, server: str, token: str) -> str:
    """A name that people recognize, whatever the names are made of; unique by its token."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{user} {server}".lower()).strip("-")
    return f"{words[:40]}-{token}".lstrip("-")


def hierarchies(cgroup: str, mountinfo: str) -> dict[str, tuple[Path, ...]]:
    """By v1 controller, and by `""` for v2: the process's own cgroup and those above it.

    Args:
        cgroup: the text of /proc/self/cgroup.
        mountinfo: the text of /proc/self/mountinfo.
    """
    own: dict[str, str] = {}
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path))
    found: dict[str, tuple[Path, ...]] = {}
    for line in mountinfo.splitlines():
        where, _, what = line.partition(" - ")
        root, mount = where.split()[3:5]
        kind, *_, options = what.split()
        names = {"cgroup": options.split(","), "cgroup2": [""]}.get(kind, [])
        for name in own.keys() & set(names):
            found.setdefault(name, _upwards(own[name], root, mount))
    return {name: chain for name, chain in found.items() if chain}


def _upwards(path: str, root: str, mount: str) -> tuple[Path, ...]:
    """Directories from a cgroup's up to where its hierarchy is mounted, in which `root` is."""
    try:
        inside = PurePosixPath(path).relative_to(root)
    except ValueError:
        return ()
    if ".." in inside.parts:  # outside of what this container sees
        return ()
    own = Path(mount, inside)
    return (own, *list(own.parents)[: len(inside.parts)])


def oom_kills(text: str) -> int:
    """Processes killed for memory, in v1's memory.oom_control or v2's memory.events."""
    match = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    return int(match[1]) if match else 0


# -- the kernel's files -----------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where groups can be made.

    Attributes:
        version: `v1` or `v2`.
        parents: the directory named PARENT, by controller that can be used.
    """

    version: str
    parents: Mapping[str, Path]


def find_place() -> Place | None:
    """Make the parent directories: in the hub's own cgroup where the kernel allows it, or else
    in the nearest one above. None where no cgroup can be written."""
    try:
        chains = hierarchies((PROC / "cgroup").read_text(), (PROC / "mountinfo").read_text())
    except OSError:
        return None
    if any(controller in chains for controller in CONTROLLERS):
        version = "v1"
        found = {name: _open_v1(chains.get(name, ())) for name in CONTROLLERS}
        parents = {name: parent for name, parent in found.items() if parent}
    else:
        version, parents = "v2", _open_v2(chains.get("", ()))
    return Place(version, parents) if parents else None


def _open_v1(chain: Sequence[Path]) -> Path | None:
    for directory in chain:
        with suppress(OSError):
            (directory / PARENT).mkdir(exist_ok=True)
            return directory / PARENT
    return None


def _open_v2(chain: Sequence[Path]) -> dict[str, Path]:
    for directory in chain:
        # Whoever moves a process must be allowed to write to what both its cgroups have in common.
        if not os.access(directory / "cgroup.procs", os.W_OK):
            continue
        # Refused for a cgroup that holds processes itself, so mostly for the hub's own.
        usable = [name for name in CONTROLLERS if _hand_down(directory, name)]
        with suppress(OSError):
            parent = directory / PARENT
            if usable:
                parent.mkdir(exist_ok=True)
                return {name: parent for name in usable if _hand_down(parent, name)}
    return {}


def _hand_down(directory: Path, controller: str) -> bool:
    """Let the cgroups in a v2 directory have limits of this kind."""
    file = directory / "cgroup.subtree_control"
    try:
        if controller not in file.read_text().split():
            _write(file, f"+{controller}")
    except OSError:
        return False
    return True


def _write(file: Path, value: str) -> None:
    with open(file, "r+b", buffering=0) as opened:  # the kernel creates these files, nobody else
        opened.write(value.encode())


def available() -> str | None:
    """`v1` or `v2` where the kernel can hold servers to both limits, None elsewhere."""
    place = find_place()
    if place:
        _remove_empty(place.parents.values())
    return place.version if place and len(place.parents) == len(CONTROLLERS) else None


def make_group(
    place: Place, name: str, files: Mapping[str, Mapping[str, str]]
) -> tuple[list[Path], list[str]]:
    """Make the directories of one server, with its limits; also returns what went wrong.

    Controllers that the place does not have are left out.
    """
    made: list[Path] = []
    problems: list[str] = []
    for controller in files.keys() & place.parents.keys():
        directory = place.parents[controller] / name
        try:
            directory.mkdir(exist_ok=True)
            made.append(directory)
            for file, value in files[controller].items():
                if file not in _NOT_ON_EVERY_KERNEL or (directory / file).exists():
                    _write(directory / file, value)
        except OSError as error:
            problems.append(f"{controller}: {error}")
    return sorted(set(made)), problems


def remove_leftovers(place: Place) -> None:
    """Remove groups of an earlier hub; the kernel keeps those in which something runs."""
    for parent in set(place.parents.values()):
        with suppress(OSError):
            _remove_empty(path for path in sorted(parent.iterdir()) if path.is_dir())


def _remove_empty(directories: Any) -> None:
    for directory in set(directories):
        with suppress(OSError):
            directory.rmdir()


async def remove_group(directories: Sequence[Path], seconds: float = 5) -> list[Path]:
    """End what still runs in these, and remove them. Returns those that would not go."""
    left = [directory for directory in directories if directory.exists()]
    for _ in range(round(seconds / 0.05)):
        _remove_empty(left)
        left = [directory for directory in left if directory.exists()]
        if not left:
            break
        for directory in left:
            _kill(directory)
        await asyncio.sleep(0.05)
    _remove_empty(directory.parent for directory in directories)
    return left


def _kill(directory: Path) -> None:
    with suppress(OSError):
        if (directory / "cgroup.kill").exists():
            _write(directory / "cgroup.kill", "1")
            return
        for pid in map(int, (directory / "cgroup.procs").read_text().split()):
            if pid > 0:  # 0 is a process that this container can't see, and to kill() ourselves
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def killed_for_memory(directories: Sequence[Path]) -> tuple[int, int]:
    """How many processes the kernel killed there, and at how many bytes."""
    for directory in directories:
        for events, limit in (
            ("memory.oom_control", "memory.limit_in_bytes"),
            ("memory.events", "memory.max"),
        ):
            with suppress(OSError, ValueError):
                if kills := oom_kills((directory / events).read_text()):
                    return kills, int((directory / limit).read_text())
    return 0, 0


# -- the spawners -----------------------------------------------------------------------------


class CgroupsMixin:
    """Put over a spawner of local processes: `class Mine(CgroupsMixin, MyLocalSpawner)`.

    A server and all that it starts is in its group before any of the user's code runs. When the
    server has ended, what it left running is ended too.
    """

    # What this uses of the class below.
    user: Any
    name: str
    log: logging.Logger
    cpu_limit: float | None
    mem_limit: int | None

    _directories: Sequence[Path] = ()
    _looked: ClassVar[bool] = False

    async def start(self) -> Any:
        """By now the limits are settled."""
        self._directories = self._limit()
        return await maybe_future(super().start())  # type: ignore[misc]

    def _limit(self) -> Sequence[Path]:
        place = find_place()
        self._first_look(place)
        if not place:
            return ()
        name = directory_name(self.user.name, self.name, secrets.token_hex(8))
        files = limit_files(place.version, self.mem_limit, self.cpu_limit)
        directories, problems = make_group(place, name, files)
        for problem in problems:
            self.log.warning("Limit of %s is advisory: %s", self._called, problem)
        return directories

    def _first_look(self, place: Place | None) -> None:
        """Once in the life of a hub."""
        if CgroupsMixin._looked:
            return
        CgroupsMixin._looked = True
        if place:
            remove_leftovers(place)
        usable = place.parents if place else {}
        if missing := [name for name in CONTROLLERS if name not in usable]:
            self.log.warning(
                "The %s limits of local servers are advisory: this hub can't write cgroups for "
                "them. It can as root, outside of a container or in a privileged one, and in a "
                "systemd service with Delegate=yes and DelegateSubgroup=hub.",
                " and ".join(missing),
            )

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        """What the new process does first, while it still is the hub's user."""
        then: Callable[[], None] = super().make_preexec_fn(name)  # type: ignore[misc]
        doors = [os.fspath(directory / "cgroup.procs") for directory in self._directories]

        def preexec() -> None:
            for door in doors:
                try:
                    file = os.open(door, os.O_WRONLY)
                    os.write(file, b"0")  # the process that writes
                    os.close(file)
                except OSError as error:  # standard error is the hub's log
                    os.write(2, f"A limit of {name} is advisory: {door}: {error}\n".encode())
            then()

        return preexec

    async def run_post_stop_hook(self) -> None:
        """The end of a server, however it came."""
        directories, self._directories = self._directories, ()
        kills, limit = killed_for_memory(directories)
        if kills:
            self.log.warning(
                "The kernel killed %s of %s, which reached the memory limit of %s",
                "a process" if kills == 1 else f"{kills} processes",
                self._called,
                RESOURCES["memory"].say(limit),
            )
        for directory in await remove_group(directories):
            self.log.warning("Can't remove the cgroup %s", directory)
        await maybe_future(super().run_post_stop_hook())  # type: ignore[misc]

    @property
    def _called(self) -> str:
        return f"{self.user.name}:{self.name}"

    # Not cleared by clear_state, which local spawners call before the post-stop hook.
    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()  # type: ignore[misc]
        paths = [os.fspath(directory) for directory in self._directories]
        return {**state, _STATE_KEY: paths} if paths else state

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)  # type: ignore[misc]
        self._directories = [Path(path) for path in state.get(_STATE_KEY, ())]


class LimitedLocalProcessSpawner(CgroupsMixin, LocalProcessSpawner):
    """Servers as system users, who can't raise their limits."""


class LimitedSimpleLocalProcessSpawner(CgroupsMixin, SimpleLocalProcessSpawner):
    """For trying out: servers run as the hub's own user, so limits hold against accidents only."""


def would_hold(spawner: type) -> str:
    """What would hold local servers to their memory and CPU; "" where they are not local, or held
    already."""
    if not issubclass(spawner, LocalProcessSpawner) or issubclass(spawner, CgroupsMixin):
        return ""
    if spawner in (LocalProcessSpawner, SimpleLocalProcessSpawner):
        ours = f"hub_quotas.cgroups.Limited{spawner.__name__}"
        return f'c.JupyterHub.spawner_class = "{ours}".'
    name = spawner.__name__
    return (
        f"c.JupyterHub.spawner_class to a class Limited{name}(hub_quotas.cgroups.CgroupsMixin, "
        f"{name})."
    )
