"""Homes with everything that a copy may get wrong, and what can be seen of them."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from pathlib import Path
from typing import Any

from filesystems import OWNER

LONG_AGO = 981_173_106_123_456_789
"""A time in nanoseconds."""
ANY = 2**32 - 1
"""In an access control list: whoever is the owner, the group, the rest."""


def fill(home: Path, xattrs: bool = True) -> None:
    """As its owner might have."""
    (home / "deep" / "er").mkdir(parents=True)
    (home / "deep" / "er" / "file").write_bytes(os.urandom(300_000))
    (home / "empty folder").mkdir()
    (home / "empty").touch()
    (home / "ünïcödé – 数据").write_text("Grüße")
    (home / "new\nline").write_text("x")
    os.close(os.open(os.fsencode(home) + b"/not \xff text", os.O_CREAT | os.O_WRONLY, 0o600))
    (home / "-rf *?[a]\\ '\"").write_text("a name like an option and a pattern")
    (home / ".hidden").write_text("h")
    (home / "script").write_text("#!/bin/sh\n")
    (home / "script").chmod(0o755)
    (home / "setuid").write_text("s")
    os.link(home / "deep" / "er" / "file", home / "hard link")
    (home / "link").symlink_to("deep/er/file")
    (home / "dangling").symlink_to("/nowhere/at all")
    (home / "out").symlink_to("/etc")
    with open(home / "sparse", "wb") as file:
        file.truncate(3 << 20)
        file.seek(1 << 20)
        file.write(b"in the middle")
    os.mkfifo(home / "pipe")
    if xattrs:
        os.setxattr(home / "script", "user.note", b"\0bytes")
        os.setxattr(home / "deep", "user.of-a-folder", b"x")
        entries = ((1, 6, ANY), (2, 4, 1002), (4, 4, ANY), (16, 6, ANY), (32, 4, ANY))
        acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
        os.setxattr(home / "empty", "system.posix_acl_access", acl)
    for path, folders, files in os.walk(home):
        for name in folders + files:
            os.lchown(os.path.join(path, name), OWNER, OWNER + len(name) % 3)
    (home / "setuid").chmod(0o4711)
    (home / "deep").chmod(0o2750)
    (home / "empty folder").chmod(0o1777)
    (home / ".hidden").chmod(0)
    for number, path in enumerate(sorted(home.rglob("*"), reverse=True)):  # folders come last
        time = LONG_AGO + number * 1_000_000_007
        os.utime(path, ns=(time, time), follow_symlinks=False)


def seen(home: Path) -> dict[str, Any]:
    """All bytes and all that belongs to them, by path; but for times that nobody can set."""
    first: dict[int, str] = {}
    found = {}
    for path in [home, *sorted(home.rglob("*"))]:
        what, name = os.lstat(path), str(path.relative_to(home))
        content: Any = None
        if stat.S_ISREG(what.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(what.st_mode):
            content = os.readlink(path)
        found[name] = {
            "mode": oct(what.st_mode),
            "owner": (what.st_uid, what.st_gid),
            "time": what.st_mtime_ns,
            "size": None if stat.S_ISDIR(what.st_mode) else what.st_size,
            "content": content,
            "xattrs": {
                key: os.getxattr(path, key, follow_symlinks=False)
                for key in os.listxattr(path, follow_symlinks=False)
            },
            "same file as": None
            if stat.S_ISDIR(what.st_mode)
            else first.setdefault(what.st_ino, name),
        }
    return found
