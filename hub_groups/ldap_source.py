"""Groups read from a directory by LDAP, as a whole and without anybody's login.

`read_directory` waits for the server: call it in a thread. What entries come to is in `directory`.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .directory import Directory, DirectoryError, Group, Naming, User, resolve

PASSWORD_VARIABLE = "HUB_GROUPS_LDAP_PASSWORD"  # noqa: S105 - its name, not what is in it
_PAGED = "1.2.840.113556.1.4.319"  # RFC 2696
_RANGE = ";range="
_PORTS = {"ldap": 389, "ldaps": 636}
_ALIASES_LEFT_ALONE = "NEVER"


class _Partial(Exception):
    """An answer that is not all there is."""

    def __init__(self, result: Mapping[str, object]) -> None:
        super().__init__(f"{result.get('description')} {result.get('message') or ''}")


class LdapSettingsError(ValueError):
    """Settings that can't be used; the message says which, and what would be right."""


@dataclass(frozen=True)
class LdapSettings:
    """Where the directory is, and which of it counts.

    The password of `bind_dn` is in `password_file`, or in the environment variable
    `HUB_GROUPS_LDAP_PASSWORD`; it is read anew each time, and never kept.

    Attributes:
        uri: `ldaps://HOST` or `ldap://HOST`, with a port where it is another one. Several with
            blanks between them are tried in order.
        base: the entry below which everything is.
        bind_dn: whom to log in as; empty for nobody in particular.
        password_file: a file with the password, whose last line end does not count.
        user_base, group_base: where users and groups are; `base` if empty.
        user_filter, group_filter: which entries are users and groups.
        user_attribute: what the hub's user name is, such as `uid` or `sAMAccountName`.
        user_lowercase: user names in lower case, as the hub has them.
        group_attribute: what a group is called.
        group_pattern, group_name: see `directory.Naming`.
        manager_pattern, manager_name: see `directory.Naming`.
        member_attributes: what names a group's members, by distinguished name or login.
        owner_attribute: what names a group's managers, such as `owner` or `managedBy`; or empty.
        nested: whether members of a group within a group are members of the outer one.
        start_tls: whether to encrypt what begins as `ldap://`, before the password is sent.
        verify: whether the server has to prove by its certificate who it is.
        ca_file: the certificates to trust, as PEM; the system's if empty.
        page_size: how many entries to ask for at a time.
        timeout: how long to wait for the server to say something, in seconds.
        allow_empty: whether a directory without any user or group is believed.
    """

    uri: str
    base: str
    bind_dn: str = ""
    password_file: str = ""
    user_base: str = ""
    user_filter: str = "(|(objectClass=person)(objectClass=posixAccount))"
    user_attribute: str = "uid"
    user_lowercase: bool = True
    group_base: str = ""
    group_filter: str = (
        "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)"
        "(objectClass=posixGroup)(objectClass=group))"
    )
    group_attribute: str = "cn"
    group_pattern: str = Naming.pattern
    group_name: str = Naming.name
    manager_pattern: str = Naming.manager_pattern
    manager_name: str = Naming.manager_name
    member_attributes: tuple[str, ...] = ("member", "uniqueMember", "memberUid")
    owner_attribute: str = ""
    nested: bool = True
    start_tls: bool = True
    verify: bool = True
    ca_file: str = ""
    page_size: int = 500
    timeout: int = 10
    allow_empty: bool = False

    @property
    def naming(self) -> Naming:
        """Which groups count, and what they are called in the hub."""
        return Naming(self.group_pattern, self.group_name, self.manager_pattern, self.manager_name)


def ldap_settings(said: Mapping[str, object]) -> LdapSettings:
    """The settings in a dictionary, such as `c.HubGroups.ldap`.

    Raises:
        LdapSettingsError: for one that is unknown, missing, or of the wrong kind.
    """
    known = {one.name: one for one in fields(LdapSettings)}
    for name in said:
        if name not in known:
            hint = ": it goes into 'password_file'" if "pass" in str(name).lower() else ""
            raise LdapSettingsError(
                f"ldap: there is no setting '{name}'{hint}; there are {', '.join(known)}."
            )
    values: dict[str, Any] = {}
    for name, one in known.items():
        if name in said:
            values[name] = _of_kind(name, said[name], str(one.type))
        elif one.default is MISSING:
            raise LdapSettingsError(f"ldap: '{name}' is missing; {_FOR_EXAMPLE[name]}.")
    settings = LdapSettings(**values)
    _check(settings)
    return settings


_FOR_EXAMPLE = {
    "uri": "it says where the directory is, such as ldaps://ldap.example.edu",
    "base": "it says below which entry everything is, such as dc=example,dc=edu",
}
_KINDS = {
    "str": (str, "a text"),
    "bool": (bool, "True or False"),
    "int": (int, "a whole number above 0"),
    "tuple[str, ...]": (list, "a list of texts"),
}


def _of_kind(name: str, value: object, kind: str) -> object:
    wanted, words = _KINDS[kind]
    if wanted is list and isinstance(value, (list, tuple)) and value:
        if all(isinstance(one, str) and one for one in value):
            return tuple(value)
    elif wanted is int:
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    elif isinstance(value, wanted):
        return value.strip() if isinstance(value, str) else value
    raise LdapSettingsError(f"ldap: '{name}' is {value!r}; it has to be {words}.")


def _check(settings: LdapSettings) -> None:
    for name in ("uri", "base", "user_filter", "user_attribute", "group_filter", "group_attribute"):
        if not getattr(settings, name):
            raise LdapSettingsError(f"ldap: '{name}' is empty.")
    for uri in settings.uri.split():
        _address(uri)
    try:
        settings.naming.check()
    except ValueError as error:
        raise LdapSettingsError(f"ldap: {error}") from None
    if settings.ca_file and not Path(settings.ca_file).is_file():
        raise LdapSettingsError(f"ldap: 'ca_file' is {settings.ca_file}, which is no file.")


def _address(uri: str) -> tuple[str, str, int]:
    """Scheme, host and port."""
    try:
        parts = urlsplit(uri)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        parts, port = urlsplit(""), 0
    if not parts.hostname:
        raise LdapSettingsError(
            f"ldap: 'uri' is {uri}; it has to be like ldaps://ldap.example.edu "
            "or ldap://ldap.example.edu:389."
        )
    return parts.scheme, parts.hostname, port


def read_directory(settings: LdapSettings) -> Directory:
    """All memberships that the directory has now, and notes about what was left out.

    Waits for the server, for about `settings.timeout` seconds at a time.

    Raises:
        DirectoryError: it could not be read as a whole: what was read before goes on to hold.
    """
    with _connected(settings) as session:
        users = list(session.users())
        groups = list(session.groups())
    return resolve(users, groups, settings.naming, settings.nested, settings.user_lowercase)


@contextmanager
def _connected(settings: LdapSettings) -> Iterator[_Session]:
    """Logged in at the first of the servers that answers."""
    try:
        import ldap3  # only who has a directory needs it
    except ImportError:
        raise DirectoryError(
            "ldap: the package ldap3 is not installed; run: "
            "pip install 'jupyterhub-group-quotas[ldap]'"
        ) from None
    password = _password(settings)
    unreachable = []
    for uri in settings.uri.split():
        connection = _connection(ldap3, settings, uri, password)
        try:
            with _in_words(uri, settings):
                connection.open()
            if settings.start_tls and uri.startswith("ldap:"):
                with _in_words(uri, settings, starting_tls=True):
                    connection.start_tls()
        except DirectoryError as error:
            unreachable.append(str(error))
            continue
        try:
            with _in_words(uri, settings):
                connection.bind()
            yield _Session(connection, settings, uri)
        finally:
            with suppress(Exception):  # it has said all that it had to say
                connection.unbind()
        return
    raise DirectoryError(" ".join(unreachable))


def _password(settings: LdapSettings) -> str | None:
    if not settings.bind_dn:
        return None
    if not settings.password_file:
        if password := os.environ.get(PASSWORD_VARIABLE):
            return password
        raise DirectoryError(
            f"ldap: there is no password for {settings.bind_dn}; "
            f"set 'password_file', or {PASSWORD_VARIABLE} in the hub's environment."
        )
    try:
        password = Path(settings.password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DirectoryError(f"ldap: 'password_file' can't be read: {error}.") from None
    # A server takes an empty one for nobody in particular, and shows what it shows to them.
    if not password:
        raise DirectoryError(f"ldap: 'password_file' {settings.password_file} is empty.")
    return password


def _connection(ldap3: Any, settings: LdapSettings, uri: str, password: str | None) -> Any:
    scheme, host, port = _address(uri)
    tls = ldap3.Tls(
        validate=ssl.CERT_REQUIRED if settings.verify else ssl.CERT_NONE,
        ca_certs_file=settings.ca_file or None,
        sni=host,
    )
    server = ldap3.Server(
        host,
        port,
        use_ssl=scheme == "ldaps",
        get_info=ldap3.NONE,  # the schema is read by nobody here
        tls=tls,
        connect_timeout=settings.timeout,
    )
    return ldap3.Connection(
        server,
        user=settings.bind_dn or None,
        password=password,
        authentication=ldap3.SIMPLE if settings.bind_dn else ldap3.ANONYMOUS,
        auto_bind=ldap3.AUTO_BIND_NONE,
        read_only=True,
        raise_exceptions=True,
        receive_timeout=settings.timeout,
        auto_referrals=False,  # would log in elsewhere
        auto_range=False,  # would be asked for with the page's cookie: we do it after all pages
        check_names=False,  # would need the schema
        return_empty_attributes=False,
    )


Entry = tuple[str, Mapping[str, "list[str]"]]
"""A distinguished name, and values by the name of their attribute in lower case."""


@dataclass
class _Session:
    """A connection that is logged in."""

    connection: Any
    settings: LdapSettings
    uri: str

    def users(self) -> Iterator[User]:
        settings, name = self.settings, self.settings.user_attribute.lower()
        base = settings.user_base or settings.base
        found = self._all("user", base, settings.user_filter, [settings.user_attribute, "uid"])
        for dn, values in found:
            yield User(dn, tuple(values.get(name, ())), tuple(values.get("uid", ())))

    def groups(self) -> Iterator[Group]:
        settings, name = self.settings, self.settings.group_attribute.lower()
        owner = [settings.owner_attribute] if settings.owner_attribute else []
        wanted = [settings.group_attribute, *settings.member_attributes, *owner]
        base = settings.group_base or settings.base
        for dn, values in self._all("group", base, settings.group_filter, wanted):
            members = [
                member
                for attribute in settings.member_attributes
                for member in self._values(dn, values, attribute)
            ]
            yield Group(
                dn,
                next(iter(values.get(name, ())), ""),
                tuple(member for member in members if "=" in member),
                tuple(member for member in members if "=" not in member),
                tuple(one for attribute in owner for one in self._values(dn, values, attribute)),
            )

    def _all(self, what: str, base: str, which: str, attributes: list[str]) -> list[Entry]:
        """All pages (RFC 2696): servers hand out no more than some hundreds at once."""
        found: list[Entry] = []
        cookie: bytes | None = None
        while cookie != b"":
            page, cookie = self._search(base, which, attributes, cookie=cookie)
            found += page
        if not found and not self.settings.allow_empty:
            raise DirectoryError(
                f"{self.uri}: found no {what} below {base} with {which}; "
                f"see '{what}_base' and '{what}_filter', and what {self._who} may read."
            )
        return found

    @property
    def _who(self) -> str:
        return self.settings.bind_dn or "somebody who has not logged in"

    def _values(self, dn: str, values: Mapping[str, list[str]], attribute: str) -> list[str]:
        """All values, where Active Directory hands out ranges of them, such as 0-1499."""
        name = attribute.lower()
        found = list(values.get(name, ()))
        while ranged := next((key for key in values if key.startswith(name + _RANGE)), ""):
            found += values[ranged]
            first, _, last = ranged.partition(_RANGE)[2].partition("-")
            if last == "*":
                break
            begin = int(last) + 1
            asked = f"{attribute}{_RANGE}{begin}-*"
            page, _cookie = self._search(dn, "(objectClass=*)", [asked], scope="BASE")
            values = page[0][1] if page else {}
            if not any(key.startswith(f"{name}{_RANGE}{begin}-") for key in values):
                raise DirectoryError(
                    f"{self.uri}: {dn} has more than {begin} values of {attribute}, and the "
                    "server does not go on with them; the group may just have changed."
                )
        return found

    def _search(
        self,
        base: str,
        which: str,
        attributes: list[str],
        scope: str = "SUBTREE",
        cookie: bytes | None = None,
    ) -> tuple[list[Entry], bytes]:
        """Entries, and the cookie for the page after them: empty after the last one."""
        connection = self.connection
        with _in_words(self.uri, self.settings, base, which):
            connection.search(
                base,
                which,
                scope,
                dereference_aliases=_ALIASES_LEFT_ALONE,
                attributes=list(dict.fromkeys(attributes)),
                paged_size=self.settings.page_size if scope == "SUBTREE" else None,
                paged_cookie=cookie,
            )
            if connection.result["result"] != 0:  # ldap3 raises nothing where a limit is reached
                raise _Partial(connection.result)
        # Others are references to other servers.
        entries: list[Entry] = [
            (
                str(one["dn"]),
                {
                    name.lower(): [value.decode("utf-8", "replace") for value in values]
                    for name, values in one["raw_attributes"].items()
                },
            )
            for one in connection.response or ()
            if one["type"] == "searchResEntry"
        ]
        controls = connection.result.get("controls") or {}
        further: bytes = controls.get(_PAGED, {}).get("value", {}).get("cookie") or b""
        return entries, further


@contextmanager
def _in_words(
    uri: str, settings: LdapSettings, base: str = "", which: str = "", starting_tls: bool = False
) -> Iterator[None]:
    """What LDAP's exceptions mean here, as a `DirectoryError`."""
    from ldap3.core import exceptions as of_ldap

    try:
        yield
    except of_ldap.LDAPInvalidCredentialsResult:
        said = f"the password of {settings.bind_dn} is wrong, or there is no such user."
    except of_ldap.LDAPNoSuchObjectResult:
        said = f"there is no entry {base}, or {settings.bind_dn or 'nobody'} may not read it."
    except _Partial as part:
        said = (
            f"hands out only a part of what is below {base}, even page by page "
            f"({_plain(part)}); its administrators can lift that "
            f"limit for {settings.bind_dn or 'whoever has not logged in'}."
        )
    except of_ldap.LDAPInvalidFilterError:
        said = f"{which} is not a filter; it has to be like (objectClass=groupOfNames)."
    except (of_ldap.LDAPConfidentialityRequiredResult, of_ldap.LDAPStrongerAuthRequiredResult):
        said = "wants an encrypted connection; use ldaps://, or 'start_tls': True."
    except (of_ldap.LDAPStartTLSError, of_ldap.LDAPCertificateError, ssl.SSLError) as error:
        said = f"no encrypted connection: {_plain(error)}."
    except of_ldap.LDAPSocketOpenError as error:
        said = f"can't connect: {_plain(error)}."
    except of_ldap.LDAPOperationResult as error:
        said = (
            "does not encrypt what begins as ldap://; use ldaps://, or 'start_tls': False "
            "where nobody else can listen."
            if starting_tls
            else f"refused: {_plain(f'{error.description} {error.message}')}."
        )
    except (of_ldap.LDAPExceptionError, OSError) as error:
        said = f"the connection broke: {_plain(error)}."
    else:
        return
    raise DirectoryError(f"{uri}: {said}") from None


def _plain(error: object) -> str:
    return " ".join(str(error).split()).rstrip(". ")
