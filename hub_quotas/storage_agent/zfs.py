"""ZFS: each home is a dataset, limited by its `refquota`.

That counts what the home itself holds, after compression; snapshots of it count for nobody. ZFS
takes no limit below what is used: there, the limit is what is used, and comes down with each call.

Which dataset a directory is, the table of mounts says; so homes have to be mounted where the agent
sees them. Tested against a stand-in for `zfs` that follows the manual pages of OpenZFS
(tests/fake_zfs.py), and against the real command of zfs-fuse 0.7; not against OpenZFS itself.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from .backend import Escape, Held, StorageError, mount_table
from .layout import safe

KINDS = frozenset({"zfs", "fuse.zfs"})
"""Of mounts."""
_MOUNTS = Path("/proc/self/mounts")
_COMPONENT = re.compile(r"[A-Za-z0-9_.:-]+")
"""What the names of datasets are made of. A space is allowed too, but trips programs up."""
_MOST_BYTES = 500_000
"""Of names in one command; Linux takes two million for all of it."""
_GONE = "dataset does not exist"
_TOO_SMALL = "size is less than current used or reserved space"
_ATTEMPTS = 3


class Zfs:
    """A directory on ZFS."""

    def __init__(self, path: Path, command: str = "zfs", mounts: Path = _MOUNTS) -> None:
        self._path, self._command, self._mounts = path.resolve(), command, mounts

    @property
    def name(self) -> str:
        return "zfs, refquota of datasets"

    def prepare(self) -> None:
        """ZFS always counts."""
        datasets = self._datasets()
        if not (top := self._nearest(self._path, datasets)):
            raise StorageError(f"{self._path} is on no dataset of ZFS that is mounted here.")
        self._get([datasets[top]])

    def create(self, home: str, owner: tuple[int, int], mode: int) -> None:
        path = self._path / home
        if not os.path.lexists(path):
            self._create(path)
        elif not _is_unfinished(path) or str(path) not in self._datasets():
            return
        new = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.fchmod(new, mode)
            os.fchown(new, *owner)
        finally:
            os.close(new)

    def put(self, limits: Mapping[str, int | None]) -> dict[str, str]:
        datasets, problems = self._of(limits), {}
        held = self._get(list(datasets.values()))
        wrong = {
            home: dataset
            for home, dataset in datasets.items()
            if dataset in held and held[dataset].limit != limits[home]
        }
        for home in limits.keys() - datasets.keys():
            if _is_directory(self._path / home):
                problems[home] = _ordinary(home)
        for limit in {limits[home] for home in wrong}:
            homes = [home for home in wrong if limits[home] == limit]
            some = {
                h: wrong[h] for h in homes if limit is None or (held[wrong[h]].used or 0) <= limit
            }
            done = some if self._set_all(list(some.values()), limit) else {}
            for home in homes:
                if home not in done and (
                    problem := self._set(home, wrong[home], limit, held[wrong[home]])
                ):
                    problems[home] = problem
        return problems

    def read(self, homes: Collection[str]) -> dict[str, Held]:
        datasets = self._of(homes)
        held = self._get(list(datasets.values()))
        return {home: held[dataset] for home, dataset in datasets.items() if dataset in held}

    def repair(self, homes: Collection[str]) -> list[Escape]:
        """Owners can't make datasets, and what is in theirs is counted."""
        return []

    def _of(self, homes: Collection[str]) -> dict[str, str]:
        """The datasets of those homes that are some."""
        datasets = self._datasets()
        known = {home: datasets.get(str(self._path / home)) for home in homes}
        return {home: dataset for home, dataset in known.items() if dataset}

    def _datasets(self) -> dict[str, str]:
        """The dataset that is mounted at each place."""
        table = mount_table(self._mounts.read_text(errors="surrogateescape"))
        return {where: dataset for dataset, where, kind in table if kind in KINDS}

    @staticmethod
    def _nearest(path: Path, datasets: Mapping[str, str]) -> str | None:
        """Where the dataset is mounted that a path is in."""
        return next((str(up) for up in (path, *path.parents) if str(up) in datasets), None)

    def _create(self, path: Path) -> None:
        """Make a dataset, and those above it that are missing. Where the one above is an ordinary
        directory, or the name is none that ZFS takes, it is mounted there by its full path."""
        if path.parent != self._path and not path.parent.exists():
            self._create(path.parent)
        datasets = self._datasets()
        if not (above := self._nearest(path.parent, datasets)):
            raise StorageError(f"{path.parent} is on no dataset of ZFS that is mounted here.")
        name = ":".join(path.relative_to(above).parts)
        place = []
        if Path(above) != path.parent or not _COMPONENT.fullmatch(name):
            place = ["-o", f"mountpoint={path}"]
            name = name if _COMPONENT.fullmatch(name) else safe(name)
        dataset = f"{datasets[above]}/{name}"
        _out, error = self._run("create", *place, dataset)
        if error:
            raise StorageError(f"{path}: {error}.")
        if str(path) not in self._datasets():
            raise StorageError(
                f"{path}: the dataset {dataset} is there, but not mounted here; "
                "mount it where the agent sees it."
            )

    def _set_all(self, datasets: Sequence[str], limit: int | None) -> bool:
        """The quick way, for many at once: whether it went well."""
        value = _refquota(limit)
        return not any(self._run("set", value, *some)[1] for some in _parts(datasets))

    def _set(self, home: str, dataset: str, limit: int | None, held: Held) -> str:
        """Returns why not; empty where it is as it should be."""
        for _attempt in range(_ATTEMPTS):
            amount = None if limit is None else max(limit, held.used or 0)
            if amount != held.limit:
                _out, error = self._run("set", _refquota(amount), dataset)
                if error.endswith(_TOO_SMALL):  # more has been written in the meantime
                    held = self._get([dataset]).get(dataset, held)
                    continue
                if error:
                    return "" if error.endswith(_GONE) else f"{home}: {error}."
            if limit is None or amount == limit:
                return ""
            break
        return (
            f"{home} holds more than its limit, and ZFS takes none below that; "
            "nothing more can be written there, and the limit comes down as it is emptied."
        )

    def _get(self, datasets: Sequence[str]) -> dict[str, Held]:
        """Of those that exist."""
        found: dict[str, dict[str, int]] = {}
        for some in _parts(datasets):
            fields = ("-Hp", "-o", "name,property,value", "referenced,refquota")
            out, error = self._run("get", *fields, *some)
            if error and not error.endswith(_GONE):
                raise StorageError(f"{self._path}: {error}.")
            for line in out.splitlines():
                name, key, value = line.split("\t")
                found.setdefault(name, {})[key] = int(value)
        return {
            name: Held(values["referenced"], values["refquota"] or None)
            for name, values in found.items()
        }

    def _run(self, *words: str) -> tuple[str, str]:
        """What it says, and the last thing that was wrong, without its full stop."""
        # In English; in plain C it makes no directory whose name is not ASCII.
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        try:
            done = subprocess.run(  # noqa: S603
                [self._command, *words],
                capture_output=True,
                text=True,
                errors="surrogateescape",
                env=environment,
            )
        except OSError as error:
            raise StorageError(
                f"The command {self._command} can't be started ({error.strerror}); "
                "on Debian it is in the package zfsutils-linux."
            ) from None
        if not done.returncode:
            return done.stdout, ""
        wrong = [line for line in done.stderr.splitlines() if line.strip()]
        worst = [line for line in wrong if not line.endswith(_GONE)] or wrong or ["it failed"]
        return done.stdout, worst[0].strip().rstrip(".")


def _parts(datasets: Sequence[str]) -> Iterator[list[str]]:
    """As many as one command takes."""
    part: list[str] = []
    length = 0
    for dataset in datasets:
        length += len(os.fsencode(dataset)) + 1
        if part and length > _MOST_BYTES:
            yield part
            part, length = [], len(os.fsencode(dataset)) + 1
        part.append(dataset)
    if part:
        yield part


def _refquota(limit: int | None) -> str:
    """Zero it does not take; even an empty dataset holds some bytes."""
    return f"refquota={'none' if limit is None else limit}"


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _is_unfinished(path: Path) -> bool:
    """Whether it was made, and then nothing: it is empty, and root's."""
    return _is_directory(path) and path.lstat().st_uid == 0 and not any(os.scandir(path))


def _ordinary(home: str) -> str:
    return (
        f"{home} is an ordinary directory, which ZFS can't limit; while its owner has no server, "
        "move it away, make a dataset in its place (zfs create), and move what is in it there."
    )
