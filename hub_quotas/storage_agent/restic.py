"""restic, as a program.

Where its repository is and the password are in the environment, as restic has them
(`RESTIC_REPOSITORY`, `RESTIC_PASSWORD_FILE`); they are on no command line and in no log.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from .backend import StorageError

_HOST = "hub-storage-agent"
"""As restic records it. That of the machine may change, and then no backup had a parent."""
_TAG = "home="
_TOLD = {
    "where its repository is": ("RESTIC_REPOSITORY", "RESTIC_REPOSITORY_FILE"),
    "the password": ("RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND", "RESTIC_PASSWORD"),
}
_SPARSE = (0, 15)
"""The first version that can leave holes in files."""


@dataclass(frozen=True)
class Saved:
    """A backup of one home, in the repository."""

    home: str
    id: str
    when: datetime


@dataclass(frozen=True)
class Sum:
    """What a tree has, by kinds: enough to see that nothing is missing. Bytes are of files."""

    files: int = 0
    folders: int = 0
    links: int = 0
    others: int = 0
    bytes: int = 0


class Restic:
    """The program and its repository."""

    def __init__(self) -> None:
        """Raises:
        StorageError: it is not installed, or not told of a repository.
        """
        if not shutil.which("restic"):
            raise StorageError("Backups are made by restic, which is not here: apt install restic")
        for what, names in _TOLD.items():
            if not any(os.environ.get(name) for name in names):
                raise StorageError(
                    f"restic is not told {what}: set {' or '.join(names)} in the environment."
                )

    def save(
        self, home: str, folder: Path, when: datetime, parent: Saved | None, locks: Sequence[int]
    ) -> Any:
        """Back up a home.

        Args:
            folder: that the home is below by its path.
            when: the backup shows what was written before.
            locks: file descriptors to be open for as long as restic works.

        Returns:
            restic's summary.

        Raises:
            StorageError: not all of it could be read.
        """
        wanted = ["backup", "--json", "--host", _HOST, "--tag", _TAG + _escaped(home)]
        wanted.append(f"--time={when.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}")
        if parent:
            wanted += ["--parent", parent.id]
        answer = self._run(*wanted, "--", home, cwd=folder, pass_fds=locks)
        return next(line for line in _json_lines(answer) if line["message_type"] == "summary")

    def saved(self, home: str | None = None) -> list[Saved]:
        """What there is of one home or all, the oldest first."""
        wanted = ["snapshots", "--json", "--no-lock", "--host", _HOST]
        if home:
            wanted += ["--tag", _TAG + _escaped(home)]
        found = []
        for one in json.loads(self._run(*wanted)) or []:
            homes = [tag for tag in one.get("tags") or [] if tag.startswith(_TAG)]
            if len(homes) == 1:
                name = _unescaped(homes[0].removeprefix(_TAG))
                found.append(Saved(name, one["id"], _when(one["time"])))
        return sorted(found, key=lambda one: one.when)

    def restore(self, saved: Saved, into: Path, path: Sequence[str], locks: Sequence[int]) -> None:
        """Write a home, or one file or folder of it, below an empty folder.

        Raises:
            StorageError: not all of it could be.
        """
        wanted = ["restore", saved.id, "--target", str(into), "--verify"]
        if self._version() >= _SPARSE:
            wanted.append("--sparse")
        if path:
            literal = re.sub(r"([\\*?\[])", r"\\\1", "/".join(["", saved.home, *path]))
            wanted += ["--include", literal]
        self._run(*wanted, pass_fds=locks)

    def sum(self, saved: Saved) -> Sum:
        """What is in a backup."""
        counts = {"file": 0, "dir": 0, "symlink": 0}
        all_of_them = size = 0
        for node in _json_lines(self._run("ls", "--json", "--no-lock", saved.id)):
            # Its names have signs in the place of bytes that are no text, its depths are right.
            if node.get("struct_type") != "node" or not _within(node["path"], saved.home):
                continue
            all_of_them += 1
            counts[node["type"]] = counts.get(node["type"], 0) + 1
            size += node.get("size", 0) if node["type"] == "file" else 0
        files, folders, links = counts["file"], counts["dir"], counts["symlink"]
        return Sum(files, folders, links, all_of_them - files - folders - links, size)

    def forget(self, keep: Mapping[str, int]) -> None:
        """Drop old backups, of each home by itself.

        Args:
            keep: how many, by `daily`, `weekly`, `monthly`.
        """
        rules = [f"--keep-{every}={number}" for every, number in keep.items()]
        self._run("forget", "--host", _HOST, "--group-by", "host,tags", *rules)

    def prune(self) -> None:
        """Free the space of what was dropped."""
        self._run("prune")

    def check(self, subset: str) -> None:
        """Read a part of all data, like `5%`, and the structure of all of it.

        Raises:
            StorageError: something is wrong in the repository.
        """
        self._run("check", f"--read-data-subset={subset}")

    def unlock(self) -> None:
        """Remove the locks of runs that were killed; those that live keep theirs."""
        self._run("unlock")

    def _version(self) -> tuple[int, ...]:
        found = re.match(r"restic (\d+)\.(\d+)", self._run("version"))
        return tuple(map(int, found.groups())) if found else _SPARSE

    def _run(self, *wanted: str, cwd: Path | None = None, pass_fds: Sequence[int] = ()) -> str:
        done = subprocess.run(  # noqa: S603
            ["restic", *wanted],  # noqa: S607
            cwd=cwd,
            pass_fds=pass_fds,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            # What goes on, it would say 60 times a second; a time, it reads as local.
            env={**os.environ, "RESTIC_PROGRESS_FPS": "0.01", "TZ": "UTC"},
        )
        if done.returncode:
            raise StorageError(f"restic {wanted[0]} has failed: {_reason(done)}")
        return done.stdout


def _escaped(home: str) -> str:
    """A comma would begin another tag."""
    return quote(os.fsencode(home), safe="/ @:+~")


def _unescaped(tag: str) -> str:
    return os.fsdecode(unquote_to_bytes(tag))


def _within(path: str, home: str) -> bool:
    return path.count("/") > home.count("/")


def _when(text: str) -> datetime:
    """Python 3.10 takes six digits of a second."""
    whole, _dot, rest = text.replace("Z", "+00:00").partition(".")
    digits = re.match(r"\d*", rest)
    assert digits
    return datetime.fromisoformat(
        f"{whole}.{digits[0][:6]:0<6}{rest[digits.end() :]}" if rest else whole
    )


def _json_lines(text: str) -> Iterator[Any]:
    for line in text.split("\n"):
        if line.startswith("{"):
            yield json.loads(line)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """The line that says it, without where the repository is: that may have a password."""
    lines = [_message(line) for line in done.stderr.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith("Fatal:") and " errors" not in line]
    line = (fatal or lines or [f"exit code {done.returncode}"])[0].removeprefix("Fatal: ")
    if repository := os.environ.get("RESTIC_REPOSITORY"):
        line = line.replace(repository, "$RESTIC_REPOSITORY")
    if "unable to open config file" in line:
        return f"there is no repository ({line}). Make one: restic init"
    return line.rstrip(".") + "."


def _message(line: str) -> str:
    if line.startswith("{"):
        try:
            said = json.loads(line)
            return str(said.get("message") or said["error"]["message"])
        except (ValueError, KeyError, TypeError):
            pass
    return line
