"""A PostgreSQL to test with: one that is found, else one that gets installed."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from hubs import free_port

NO_CLUSTER = Path("/etc/postgresql-common/createcluster.d/only-the-programs.conf")


class NoPostgres(RuntimeError):
    """No PostgreSQL is here, and none can be installed or started; the message says why."""


def find() -> Path | None:
    """The folder with the server's programs, which Debian does not put on the PATH."""
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    # By version: 9.6 is older than 15.
    by_version = sorted(found, key=lambda path: float(path.parts[-3]))
    return by_version[-1].parent if by_version else None


def install() -> Path:
    """By apt on Debian as root, without the server that the package would start."""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise NoPostgres("No PostgreSQL was found; only root on Debian can install one.")
    apt = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "postgresql"]
    there_already = NO_CLUSTER.parent.exists()
    NO_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
    NO_CLUSTER.write_text("create_main_cluster = false\n")
    try:
        for command in (["apt-get", "update", "--quiet"], apt):
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            )
    finally:
        NO_CLUSTER.unlink()
        if not there_already and not any(NO_CLUSTER.parent.iterdir()):
            NO_CLUSTER.parent.rmdir()
    if programs := find():
        return programs
    reason = (done.stderr or done.stdout).strip()[-300:]
    raise NoPostgres(f"No PostgreSQL was found, and none could be installed.\n{reason}")


def _other_user() -> str | None:
    """Whom to run the server as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _place(folder: Path, user: str | None) -> Path:
    """A new folder for the data. pytest's folders are closed to others, so not always there."""
    parents = [folder, *folder.parents]
    reachable = not user or all(parent.stat().st_mode & 0o001 for parent in parents)
    place = Path(tempfile.mkdtemp(prefix="postgres-", dir=folder if reachable else None))
    if user:
        shutil.chown(place, user)
    return place


@contextmanager
def open_postgres(folder: Path, durable: bool = False) -> Iterator[str]:
    """Run a new server on a free port; yield its URL. Its log stays in `folder`, its data goes.

    `durable` makes a commit wait for the disk, as in production.
    """
    programs = find() or install()
    user, folder = _other_user(), folder.resolve()
    place = _place(folder, user)
    data = str(place / "data")
    as_user = {}
    if user:
        as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    environment = {name: value for name, value in os.environ.items() if name[:2] != "PG"}
    log = folder / "postgres.log"

    def run(program: str, *arguments: str) -> None:
        # The log is opened by us: the server inherits it, and needs no access to `folder`.
        with log.open("ab") as output:
            done = subprocess.run(
                [str(programs / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=place,
                env=environment,
                **as_user,
            )
        if done.returncode != 0:
            end = log.read_text(errors="replace").strip()[-500:]
            raise NoPostgres(f"PostgreSQL: {program} failed; see {log}.\n{end}")

    try:
        how = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        run("initdb", "--no-sync", *how, f"--pgdata={data}")
        url = _start(run, data, durable)
        try:
            yield url
        finally:
            run("pg_ctl", "stop", "-w", "-m", "fast", "-D", data)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _start(run, data: str, durable: bool) -> str:
    settings = ["listen_addresses=127.0.0.1", "unix_socket_directories="]
    if not durable:
        settings += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
    for attempts_left in (2, 1, 0):
        port = free_port()
        options = " ".join(f"-c {setting}" for setting in [*settings, f"port={port}"])
        try:
            run("pg_ctl", "start", "-w", "-D", data, "-o", options)
            break
        except NoPostgres:
            # Another process may have taken the port meanwhile.
            if not attempts_left:
                raise
    return f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"


def fresh_database(url: str) -> str:
    """Make an empty database on that server, so that tests do not meet; return its URL."""
    name = f"test_{secrets.token_hex(6)}"
    server = url.replace("postgresql+psycopg://", "postgresql://", 1)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{url.rpartition('/')[0]}/{name}"
