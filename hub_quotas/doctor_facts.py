"""What a doctor sees of a hub, and finds. What could not be looked at is None."""

from __future__ import annotations

from dataclasses import dataclass

READY, NEW, OLDER, NEWER = "ready", "new", "older", "newer"
"""A database as it should be; one that is not there yet; of an earlier, and of a later release."""

BAD_URL, NO_DRIVER, NO_FOLDER, UNREACHABLE, READ_ONLY, FOREIGN = (
    *("bad-url", "no-driver", "no-folder", "unreachable", "read-only", "foreign"),
)
"""Why a database can't be used."""


@dataclass(frozen=True)
class Configuration:
    """What a hub's configuration file comes to.

    Attributes:
        file: its path.
        problem: why it can't be read; then nothing else is known.
        packages: those of ours that it loads.
        invalid: what is wrong with settings of ours, a sentence each.
        unknown: settings of ours that there are not, with those that may be meant ("" for none).
        unreadable: files that settings name and that can't be used: setting, and why.
        missing: libraries that settings need: setting, and the extra that brings them.
        spawner: the class of spawners, by its full name.
        limits_by: what would hold servers to their memory and CPU, where this spawner does not; ""
            where it may.
        on_kubernetes: whether that is KubeSpawner, or made of it.
        proxy_elsewhere: whether the proxy is on another machine than the hub.
        service_url: where the pages are to be served.
        own_files: whether the hub's own database is a file, beside which ours are by default.
        mail: host and port of the mail server; "" for none.
        mail_problem: why it can't be used; "" where it can.
        public_url: the hub's address in the world, as the hub knows it.
        refreshes: whether users' groups are refreshed between logins.
        rivals: what else limits or charges servers on this hub, by name.
        changed_at: when the file was changed, in seconds since 1970.
    """

    file: str
    problem: str = ""
    packages: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    spawner: str = ""
    limits_by: str = ""
    on_kubernetes: bool = False
    proxy_elsewhere: bool = False
    service_url: str = "http://127.0.0.1:0"
    own_files: bool = True
    mail: str = ""
    mail_problem: str = ""
    public_url: str = ""
    refreshes: bool = True
    rivals: tuple[str, ...] = ()
    changed_at: float = 0


@dataclass(frozen=True)
class Database:
    """What was found of one database.

    Attributes:
        package: whose it is.
        setting: what names it, such as `c.HubQuotas.db_url`.
        url: without a password.
        state: one of the words above.
        why: what the database said, where it can't be used.
        schema, wanted: the revision that it has, and that of this release.
        by_default: whether no setting names it.
        ahead: how many seconds its clock is ahead of this machine's; None for a file.
        network: the kind of the network file system that its file is on; "" for none.
    """

    package: str
    setting: str
    url: str
    state: str
    why: str = ""
    schema: str = ""
    wanted: str = ""
    by_default: bool = True
    ahead: float | None = None
    network: str = ""


@dataclass(frozen=True)
class Answer:
    """What an address answered.

    Attributes:
        status: of HTTP; 0 where nothing answered.
        why: where nothing answered.
        right: whether it is what should be there.
        ahead: how many seconds the clock of whoever answered is ahead of this machine's.
    """

    status: int = 0
    why: str = ""
    right: bool = False
    ahead: float | None = None


@dataclass(frozen=True)
class Class:
    """What servers are started by, or users log in with.

    Attributes:
        ours: whether it has our part.
        skipped: the methods of our part that never run.
    """

    name: str
    ours: bool = True
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pages:
    """The pages of one package.

    Attributes:
        url: where they are served; "" where the running hub does not have the service.
        open: whether every user may open them.
        direct: what they answer to the hub.
        public: what they answer through the proxy; None where no address of that is known.
        host: their own name there; "" where they have none.
    """

    name: str
    url: str = ""
    open: bool = True
    direct: Answer | None = None
    public: Answer | None = None
    host: str = ""


@dataclass(frozen=True)
class Running:
    """What the running hub says of itself.

    Attributes:
        version: of our packages in it.
        jupyterhub: its version.
        since: when it was started, in seconds since 1970.
        packages: those of ours that it has.
    """

    version: str
    jupyterhub: str
    since: float
    packages: tuple[str, ...]
    spawner: Class
    authenticator: Class
    pages: tuple[Pages, ...] = ()


@dataclass(frozen=True)
class Facts:
    """All that was looked at.

    Attributes:
        config: the hub's configuration.
        version: of these packages, where the doctor runs.
        jupyterhub: its version, where the doctor runs.
        databases: of the packages that are loaded.
        hub_url: where the hub was asked; "" where it can't be asked.
        hub: what is at that address.
        running: what the hub says of us; None where it does not know us.
        public: the address at which the proxy was asked; "" where none is known.
        front: what is at that address.
    """

    config: Configuration
    version: str = ""
    jupyterhub: str = ""
    databases: tuple[Database, ...] = ()
    hub_url: str = ""
    hub: Answer | None = None
    running: Running | None = None
    public: str = ""
    front: Answer | None = None


PROBLEM, WARNING, HINT = "problem", "warning", "hint"
"""What does not work; what may not; what is good to know."""


@dataclass(frozen=True)
class Finding:
    """One thing to put right.

    Attributes:
        code: a name that stays the same, for programs.
        level: PROBLEM, WARNING or HINT.
        what: a sentence.
        where: the file, address or setting that it is about.
        fix: what puts it right.
    """

    code: str
    level: str
    what: str
    where: str
    fix: str
