#!/usr/bin/env python3
"""A stand-in for the `zfs` command, with what is documented and used here, and nothing else.

After zfs-create(8), zfs-set(8), zfs-get(8) and zfsprops(7) of OpenZFS; the errors are in the words
of the real command. Its datasets are in a JSON file, which FAKE_ZFS names; beside it, `mounts` is
the table of what is mounted, as /proc/self/mounts has it. What is used is what that file says:
it can't refuse a write.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

STATE = Path(os.environ["FAKE_ZFS"])
EMPTY = 98304
"""Bytes that a dataset with nothing in it refers to."""
PROPERTIES = ("referenced", "refquota", "mountpoint", "type", "mounted")
SETTABLE = ("refquota", "mountpoint")
COLUMNS = ("name", "property", "value", "source")

Datasets = dict[str, dict[str, Any]]


def fail(text: str, code: int = 1) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(code)


def usage(text: str) -> NoReturn:
    fail(f"{text}\nusage:", 2)


def options(words: list[str], flags: str, valued: str) -> tuple[dict[str, list[str]], list[str]]:
    """As getopt(3) has them, with `-Hp` for `-H -p`; refuses what is not documented."""
    found: dict[str, list[str]] = {}
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)[1:]
        while word:
            sign, word = word[0], word[1:]
            if sign in valued:
                value, word = word or (rest.pop(0) if rest else usage("missing argument")), ""
                found.setdefault(sign, []).append(value)
            elif sign in flags:
                found.setdefault(sign, [])
            else:
                usage(f"invalid option '{sign}'")
    return found, rest


def size(text: str, name: str) -> int:
    if text == "none":
        return 0
    if text == "0":
        fail(f"cannot set property for '{name}': use 'none' to disable quota/refquota")
    if not (match := re.fullmatch(r"(\d+)([BKMGTPEZ]?)", text)):
        fail(f"cannot set property for '{name}': bad numeric value '{text}'")
    return int(match[1]) << 10 * "BKMGTPEZ".index(match[2] or "B")


def create(datasets: Datasets, words: list[str]) -> None:
    found, rest = options(words, "pnPv", "o")
    if len(rest) != 1:
        usage("missing filesystem argument" if not rest else "too many arguments")
    (name,) = rest
    if "@" in name:
        fail(f"cannot create '{name}': snapshot delimiter '@' is not expected here")
    if wrong := re.search(r"[^A-Za-z0-9_.:\- /]", name):
        fail(f"cannot create '{name}': invalid character '{wrong[0]}' in name")
    if len(name.encode()) > 255:
        fail(f"cannot create '{name}': name is too long")
    if "" in name.split("/"):
        fail(f"cannot create '{name}': empty component in name")
    if name in datasets:
        fail(f"cannot create '{name}': dataset already exists")
    above = name.rpartition("/")[0]
    if above not in datasets:
        fail(f"cannot create '{name}': parent does not exist")
    new = {"refquota": 0, "referenced": EMPTY}
    for assignment in found.get("o", []):
        key, equals, value = assignment.partition("=")
        if not equals:
            usage("missing '=' for property=value argument")
        assign(new, name, key, value)
    datasets[name] = new
    Path(mountpoint(datasets, name)).mkdir(parents=True, exist_ok=True)


def assign(dataset: dict[str, Any], name: str, key: str, value: str) -> None:
    if key not in PROPERTIES:
        fail(f"cannot set property for '{name}': invalid property '{key}'")
    if key not in SETTABLE:
        fail(f"cannot set property for '{name}': '{key}' is readonly")
    if key == "mountpoint":
        dataset[key] = value
        return
    amount = size(value, name)
    if amount and amount < dataset["referenced"]:
        fail(f"cannot set property for '{name}': size is less than current used or reserved space")
    dataset[key] = amount


def mountpoint(datasets: Datasets, name: str) -> str:
    if own := datasets[name].get("mountpoint"):
        return str(own)
    above, _slash, last = name.rpartition("/")
    return f"{mountpoint(datasets, above)}/{last}"


def set_(datasets: Datasets, words: list[str]) -> None:
    _found, rest = options(words, "", "")
    pairs = [word for word in rest if "=" in word]
    names = rest[len(pairs) :]
    if not pairs or not names:
        usage("missing property=value argument" if not pairs else "missing dataset name")
    failed = False
    for name in names:
        if name not in datasets:
            print(f"cannot open '{name}': dataset does not exist", file=sys.stderr)
            failed = True
            continue
        for pair in pairs:
            key, _equals, value = pair.partition("=")
            assign(datasets[name], name, key, value)
    if failed:
        write(datasets)
        sys.exit(1)


def get(datasets: Datasets, words: list[str]) -> None:
    found, rest = options(words, "rHp", "dost")
    if not rest:
        usage("missing property argument")
    columns = found.get("o", [",".join(COLUMNS)])[-1].split(",")
    if wrong := set(columns) - set(COLUMNS):
        usage(f"invalid column name '{min(wrong)}'")
    keys, names = rest[0].split(","), rest[1:] or list(datasets)
    if unknown := set(keys) - set(PROPERTIES):
        usage(f"bad property list: invalid property '{min(unknown)}'")
    code = 0
    for name in names:
        if name not in datasets:
            print(f"cannot open '{name}': dataset does not exist", file=sys.stderr)
            code = 1
            continue
        for key in keys:
            value = {**datasets[name], "type": "filesystem", "mounted": "yes"}.get(key)
            if key == "mountpoint":
                value = mountpoint(datasets, name)
            elif key == "refquota" and not value and "p" not in found:
                value = "none"
            row = {"name": name, "property": key, "value": str(value), "source": "-"}
            print(("\t" if "H" in found else "  ").join(row[column] for column in columns))
    sys.exit(code)


def write(datasets: Datasets) -> None:
    STATE.write_text(json.dumps(datasets))
    lines = []
    for name in datasets:
        where = mountpoint(datasets, name)
        for code, sign in (("134", "\\"), ("040", " "), ("011", "\t"), ("012", "\n")):
            where = where.replace(sign, f"\\{code}")
        lines.append(f"{name} {where} zfs rw,xattr,noacl 0 0\n")
    new = STATE.with_name("mounts.new")
    new.write_text("".join(lines), errors="surrogateescape")
    new.replace(STATE.with_name("mounts"))


def main() -> None:
    with open(STATE.with_name("commands"), "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(sys.argv[1:]) + "\n")
        file.flush()
        datasets: Datasets = json.loads(STATE.read_text())
        commands = {"create": create, "set": set_, "get": get}
        if len(sys.argv) < 2 or sys.argv[1] not in commands:
            fail(
                f"unrecognized command '{' '.join(sys.argv[1:2])}'\nusage: zfs command args ...", 2
            )
        commands[sys.argv[1]](datasets, sys.argv[2:])
        write(datasets)


if __name__ == "__main__":
    main()
