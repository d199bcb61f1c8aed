"""A directory to test with: OpenLDAP's server, one that is found, else one that gets installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import ldap3
from hubs import free_port, wait_for

BASE = "dc=example,dc=edu"
ADMIN = f"cn=admin,{BASE}"
PASSWORD = "of-the-directory"
READER = f"cn=reader,{BASE}"
LIMITED = f"cn=limited,{BASE}"
"""Is handed out no more than `LIMIT` entries, however asked."""
LIMIT = 50
"""How many entries there are without pages."""

CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/{posix}.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath {modules}
moduleload back_mdb.so
moduleload memberof.so
pidfile {place}/slapd.pid
{tls}
sizelimit size.soft={limit} size.hard={limit} size.prtotal=unlimited
database mdb
maxsize 1073741824
directory {place}/data
suffix "{base}"
rootdn "{admin}"
rootpw {password}
dbnosync
index objectClass,uid eq
overlay memberof
limits dn.exact="{limited}" size.prtotal=hard
access to attrs=userPassword by anonymous auth by * none
access to * by * read
"""


class NoSlapd(RuntimeError):
    """No slapd is here, and none can be installed or started; the message says why."""


def find() -> Path | None:
    found = shutil.which("slapd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/libexec")
    return Path(found) if found and Path("/etc/ldap/schema").is_dir() else None


def install() -> Path:
    """By apt on Debian as root, without the server that the package would start."""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise NoSlapd("No slapd was found; only root on Debian can install one.")
    apt = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "slapd"]
    for command, stdin in (
        (["apt-get", "update", "--quiet"], ""),
        (["debconf-set-selections"], "slapd slapd/no_configuration boolean true\n"),
        (apt, ""),
    ):
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            input=stdin,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    if program := find():
        return program
    reason = (done.stderr or done.stdout).strip()[-300:]
    raise NoSlapd(f"No slapd was found, and none could be installed.\n{reason}")


def ldif(entries: Iterable[tuple[str, dict[str, list[str]]]]) -> str:
    """For a start with much in it; of plain ASCII only."""
    return "\n".join(
        f"dn: {dn}\n" + "".join(f"{name}: {v}\n" for name, values in about.items() for v in values)
        for dn, about in entries
    )


def person(uid: str, dn: str = "", **more: str | list[str]) -> tuple[str, dict]:
    about = {"objectClass": ["inetOrgPerson"], "uid": [uid], "cn": [uid], "sn": [uid]}
    about |= {name: [v] if isinstance(v, str) else v for name, v in more.items()}
    return dn or f"uid={uid},ou=people,{BASE}", about


def group(cn: str, *members: str, kind: str = "groupOfNames", **more) -> tuple[str, dict]:
    """A member with a `=` is a distinguished name, else the uid of a person."""
    member = {"groupOfNames": "member", "groupOfUniqueNames": "uniqueMember"}.get(kind, "memberUid")
    named = members
    if kind != "posixGroup":
        named = [m if "=" in m else f"uid={m},ou=people,{BASE}" for m in members]
    about = {"objectClass": [kind], "cn": [cn], **more}
    return group_dn(cn), about | ({member: list(named)} if named else {})


def group_dn(cn: str) -> str:
    return f"cn={cn},ou=groups,{BASE}"


ROOT_ENTRIES = [
    (BASE, {"objectClass": ["dcObject", "organization"], "dc": ["example"], "o": ["Example"]}),
    *((f"ou={ou},{BASE}", {"objectClass": ["organizationalUnit"]}) for ou in ("people", "groups")),
    *(
        (
            dn,
            {"objectClass": ["organizationalRole", "simpleSecurityObject"]}
            | {"userPassword": [PASSWORD]},
        )
        for dn in (READER, LIMITED)
    ),
]


class Slapd(SimpleNamespace):
    """A server that runs, and what administrators do to it."""

    place: Path
    port: int
    program: Path
    process: subprocess.Popen | None = None

    @property
    def uri(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def ldaps(self) -> str:
        return f"ldaps://127.0.0.1:{self.tls_port}"

    def run(self, *arguments: str) -> None:
        done = subprocess.run([str(self.program), *arguments], capture_output=True, text=True)
        if done.returncode:
            raise NoSlapd(f"slapd: {' '.join(arguments)} failed.\n{done.stderr.strip()[-500:]}")

    def start(self) -> None:
        listen = f"{self.uri}/" + (f" {self.ldaps}/" if self.tls_port else "")
        with (self.place / "slapd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, "-f", self.place / "slapd.conf", "-h", listen, "-d", "0"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

        def up() -> bool:
            if self.process.poll() is not None:
                log = (self.place / "slapd.log").read_text(errors="replace")
                raise NoSlapd(f"slapd stopped.\n{log.strip()[-500:]}")
            with suppress(ldap3.core.exceptions.LDAPExceptionError):
                self.admin().unbind()
                return True
            return False

        wait_for("slapd", up, seconds=20)

    def stop(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def admin(self) -> ldap3.Connection:
        server = ldap3.Server("127.0.0.1", self.port, get_info=ldap3.NONE, connect_timeout=5)
        return ldap3.Connection(
            server, ADMIN, PASSWORD, auto_bind=True, raise_exceptions=True, check_names=False
        )

    def add(self, *entries: tuple[str, dict]) -> None:
        with self.admin() as connection:
            for dn, about in entries:
                connection.add(dn, attributes=about)

    def change(self, dn: str, **attributes: list[str]) -> None:
        with self.admin() as connection:
            replace = ldap3.MODIFY_REPLACE
            connection.modify(dn, {name: [(replace, v)] for name, v in attributes.items()})

    def delete(self, *dns: str) -> None:
        with self.admin() as connection:
            for dn in dns:
                connection.delete(dn)


@contextmanager
def open_slapd(
    entries: Iterable[tuple[str, dict]] = (),
    certificate: tuple[Path, Path] | None = None,
    posix: str = "nis",
) -> Iterator[Slapd]:
    """Run a new server on a free port of this machine; its data goes when it ends.

    Args:
        certificate: the files of one and of its key, where it is to speak TLS too.
        posix: whose idea of a `posixGroup` holds, as the schema is called.
    """
    program = find() or install()
    # Debian's keeps its profile of AppArmor off /tmp where there is one; a folder of ours is open.
    place = Path(tempfile.mkdtemp(prefix="slapd-"))
    (place / "data").mkdir()
    tls = ""
    if certificate:
        crt, key = certificate
        tls = f"TLSCertificateFile {crt}\nTLSCertificateKeyFile {key}"
    names = {"base": BASE, "admin": ADMIN, "password": PASSWORD, "limited": LIMITED}
    modules = next(iter(Path("/usr/lib").glob("**/ldap/memberof.so")), Path("/usr/lib/ldap/x"))
    config = CONFIG.format(
        place=place, tls=tls, limit=LIMIT, posix=posix, modules=modules.parent, **names
    )
    (place / "slapd.conf").write_text(config)
    start = place / "start.ldif"
    start.write_text(ldif([*ROOT_ENTRIES, *entries]))
    server = Slapd(place=place, program=program, port=free_port(), tls_port=0)
    if certificate:
        server.tls_port = free_port()
    try:
        server.run("-T", "add", "-q", "-f", str(place / "slapd.conf"), "-l", str(start))
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(place, ignore_errors=True)
