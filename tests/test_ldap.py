"""Groups from a directory: what entries come to, and reading a real OpenLDAP."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from dataclasses import fields
from types import SimpleNamespace

import pytest
from hubs import ROOT, free_port, wait_for
from hypothesis import given
from hypothesis import strategies as st
from slapd import (
    BASE,
    LIMIT,
    LIMITED,
    PASSWORD,
    READER,
    NoSlapd,
    group,
    group_dn,
    open_slapd,
    person,
)

from hub_groups.directory import DirectoryError, Group, Naming, User, normal, resolve
from hub_groups.ldap_source import (
    LdapSettings,
    LdapSettingsError,
    _Session,
    ldap_settings,
    read_directory,
)

# -- what entries come to ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CN=Ada  Lovelace , OU=Math", "cn=ada lovelace,ou=math"),
        (r"cn=Lovelace\, Ada,dc=x", r"cn=Lovelace\2C Ada,dc=x"),
        (r"cn=Lovelace\, Ada,dc=x", 'cn="Lovelace, Ada",dc=x'),
        (r"cn=J\C3\BCrgen,dc=x", "CN=JÜRGEN,DC=X"),
        ("uid=1+cn=b,dc=x", "CN=b + UID=1,dc=x"),
        ("cn=a,dc=x#'0101'B", "cn=a,dc=x"),
    ],
)
def test_names_that_mean_the_same_entry(one, other):
    assert normal(one) == normal(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"cn=a\,ou=b,dc=x", "cn=a,ou=b,dc=x"),
        (r"cn=a\\2Cb,dc=x", r"cn=a\2Cb,dc=x"),
        (r"cn=a\+uid=b,dc=x", "cn=a+uid=b,dc=x"),
    ],
)
def test_names_that_do_not(one, other):
    assert normal(one) != normal(other)


@given(st.text(max_size=20), st.text(alphabet="ab\\\",+;=# '0B"))
def test_a_value_is_the_same_however_it_is_escaped(value, anything):
    normal(anything)  # never fails
    in_bytes = "".join(f"\\{byte:02X}" for byte in value.encode())
    by_character = re.sub(r'[\\",+;#=<> ]', r"\\\g<0>", value)
    assert normal(f"cn={in_bytes},dc=x") == normal(f"CN={by_character},DC=X")


def of(*names: str) -> list[User]:
    return [User(f"uid={name}", (name,), (name,)) for name in names]


def circles(size: int) -> list[Group]:
    """A long chain that ends where it began, with somebody in each."""
    return [Group(f"cn={i}", str(i), (f"uid=u{i}", f"cn={(i + 1) % size}")) for i in range(size)]


def test_a_chain_of_thousands_that_bites_its_tail():
    size = 3000
    found = resolve(of(*(f"u{i}" for i in range(size))), circles(size), Naming("0"))
    assert found.roll.keys() == {"0"}
    assert len(found.roll["0"]) == size


@given(st.dictionaries(st.integers(0, 7), st.sets(st.integers(0, 7)), max_size=8))
def test_nesting_is_as_walking_would_find_it(inner):
    groups = [
        Group(f"cn={i}", str(i), (f"uid=u{i}", *(f"cn={j}" for j in below if j in inner)))
        for i, below in inner.items()
    ]
    roll = resolve(of(*(f"u{i}" for i in range(8))), groups).roll
    for i in inner:
        reached, todo = set(), [i]
        while todo:
            here = todo.pop()
            if here not in reached and here in inner:
                reached.add(here)
                todo += inner[here]
        assert set(roll[str(i)]) == {f"u{j}" for j in reached}


def test_the_names_of_groups():
    groups = [
        Group("cn=1", "course-geo101", ("uid=sam",)),
        Group("cn=2", "course-geo101-staff", ("uid=ada",)),
        Group("cn=3", "printer-users", ("uid=sam",)),
    ]
    naming = Naming(r"course-(.+)", r"courses/\1", r"course-(.+)-staff", r"courses/\1")
    found = resolve(of("sam", "ada"), groups, naming)
    assert found.roll == {"courses/geo101": {"sam": "member", "ada": "manager"}}
    assert found.notes == ("1 group left out, because of the name: printer-users",)


def test_of_several_user_names_the_one_that_the_entry_is_called_counts():
    users = [User("uid=New, ou=p", ("old", "new"))]
    assert resolve(users, [Group("cn=1", "geo", ("UID=new,OU=p",))]).roll == {
        "geo": {"new": "member"}
    }


def test_what_is_odd_is_noted_and_does_no_harm():
    users = [
        *of("sam"),
        User("cn=printer", ()),
        User("uid=sam,ou=b", ("Sam",)),
    ]
    groups = [Group("cn=1", "geo", ("uid=sam", "uid=gone", "")), Group("cn=2", "geo", ())]
    found = resolve(users, groups)
    assert found.roll == {"geo": {"sam": "member"}}
    assert found.notes == (
        "1 user left out, having no user name: cn=printer",
        "1 user name of several entries, taken for one user: sam",
        "1 member left out, being no user or group that was found: uid=gone",
    )


# -- settings ------------------------------------------------------------------------------------

GOOD = {"uri": "ldaps://ldap.example.edu", "base": BASE}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"base": BASE}, "'uri' is missing; it says where the directory is"),
        ({**GOOD, "filter": "x"}, "there is no setting 'filter'; there are uri, base,"),
        ({**GOOD, "password": "x"}, "no setting 'password': it goes into 'password_file'"),
        ({**GOOD, "uri": "ldap.example.edu"}, "'uri' is ldap.example.edu; it has to be like"),
        ({**GOOD, "uri": "ldap://h:port"}, "'uri' is ldap://h:port; it has to be like"),
        ({**GOOD, "nested": "yes"}, "'nested' is 'yes'; it has to be True or False"),
        ({**GOOD, "page_size": 0}, "'page_size' is 0; it has to be a whole number above 0"),
        ({**GOOD, "member_attributes": "member"}, "it has to be a list of texts"),
        ({**GOOD, "group_pattern": "("}, "'group_pattern' is not a regular expression"),
        ({**GOOD, "group_name": r"\2"}, "'group_name' does not go with 'group_pattern'"),
        ({**GOOD, "ca_file": "/nowhere.pem"}, "'ca_file' is /nowhere.pem, which is no file"),
        ({**GOOD, "user_attribute": ""}, "'user_attribute' is empty"),
    ],
)
def test_wrong_settings_are_named(said, words):
    with pytest.raises(LdapSettingsError, match="ldap: ") as error:
        ldap_settings(said)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_the_settings_of_the_document_hold(tmp_path):
    document = (ROOT / "docs" / "ldap.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    (tmp_path / "ca.pem").touch()
    for block in blocks:
        c = SimpleNamespace(HubGroups=SimpleNamespace())
        text = block.replace("/etc/ssl/certs/example-edu.pem", str(tmp_path / "ca.pem"))
        exec(text, {"c": c})
        naming = ldap_settings(c.HubGroups.ldap).naming
        if naming.manager_pattern:
            assert naming.of("course-geo101") == ("courses/geo101", "member")
            assert naming.of("course-geo101-staff") == ("courses/geo101", "manager")
            assert naming.of("printers") is None
    assert len(blocks) == 3
    table = document.partition("## All settings")[2]
    for name in (one.name for one in fields(LdapSettings)):
        assert f"`{name}`" in table, name


# -- Active Directory hands out long lists in ranges; there is none to test with -------------------


class Ranged:
    """Answers as Active Directory does, where no more than `most` values go out at once."""

    def __init__(self, values: list[str], most: int, breaks_off: bool = False) -> None:
        self.all, self.most, self.breaks_off = values, most, breaks_off
        self.result: dict = {"result": 0}

    def search(self, base, which, scope, attributes, **rest) -> None:
        first = int(attributes[0].partition("=")[2].partition("-")[0])
        self.response = [] if self.breaks_off else [self.entry(first)]

    def entry(self, first: int) -> dict:
        part = self.all[first : first + self.most]
        last = "*" if first + len(part) == len(self.all) else str(first + len(part) - 1)
        raw = {f"member;range={first}-{last}": [value.encode() for value in part]}
        return {"type": "searchResEntry", "dn": "cn=geo", "raw_attributes": raw}


def ranged(server: Ranged) -> list[str]:
    session = _Session(server, ldap_settings(GOOD), "ldap://ad")
    first = server.entry(0)["raw_attributes"]
    values = {name: [value.decode() for value in said] for name, said in first.items()}
    return session._values("cn=geo", {"member": [], **values}, "member")


@pytest.mark.parametrize("count", [1, 9, 10, 11, 20, 25])
def test_values_in_ranges_are_all_read(count):
    values = [f"uid=u{i}" for i in range(count)]
    assert ranged(Ranged(values, 10)) == values


def test_ranges_that_break_off_are_no_answer():
    with pytest.raises(DirectoryError, match="more than 10 values of member"):
        ranged(Ranged([f"uid=u{i}" for i in range(25)], 10, breaks_off=True))


# -- a real server -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of a server that is called localhost, and nothing else; signed by itself."""
    folder = tmp_path_factory.mktemp("certificate")
    crt, key = folder / "server.crt", folder / "server.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        + ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        + ["-out", crt, "-keyout", key],
        check=True,
        capture_output=True,
    )
    return crt, key


@pytest.fixture(scope="module")
def server(certificate):
    people = [person(name, userPassword=f"of-{name}") for name in ("ada", "sam", "kim", "lee")]
    try:
        with open_slapd(people, certificate) as running:
            yield running
    except NoSlapd as reason:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(reason))


@pytest.fixture
def directory(server, tmp_path):
    """The server without groups, and `read(**settings)`, which says what it has."""
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    said = {
        "uri": server.uri,
        "base": BASE,
        "bind_dn": READER,
        "password_file": str(password),
        "start_tls": False,
        "timeout": 3,
    }
    made: list[str] = []

    def add(*entries) -> None:
        made.extend(dn for dn, _about in entries)
        server.add(*entries)

    def read(**more):
        return read_directory(ldap_settings({**said, **more}))

    yield SimpleNamespace(server=server, add=add, read=read, said=said, password=password)
    if server.process is None:  # a test that stopped it has failed
        server.start()
    with server.admin() as connection:
        connection.raise_exceptions = False
        for dn in reversed(made):
            connection.delete(dn)


M = "member"
LDAP_EVERY = 10
"""Seconds from one reading of a hub to the next; no fewer are allowed."""


def test_groups_as_directories_have_them(directory):
    directory.add(
        group("geo101", "ada", "sam"),
        group("bio", "kim", kind="groupOfUniqueNames"),
        group("staff", "ada", "KIM", "nobody", kind="posixGroup", gidNumber=["500"]),
    )
    found = directory.read()
    assert found.roll == {
        "geo101": {"ada": M, "sam": M},
        "bio": {"kim": M},
        "staff": {"ada": M, "kim": M},
    }
    assert found.notes == ("1 member left out, being no user or group that was found: nobody",)
    assert directory.read(group_filter="(cn=bio)").roll == {"bio": {"kim": M}}


def test_groups_within_groups_and_in_a_circle(directory):
    directory.add(
        group("inner", "sam"),
        group("outer", "ada", group_dn("inner")),
        group("left", "kim", f"CN=Right, OU=Groups,{BASE.upper()}"),
        group("right", "lee", group_dn("left")),
    )
    roll = directory.read().roll
    assert roll["outer"] == {"ada": M, "sam": M}
    assert roll["inner"] == {"sam": M}
    assert roll["left"] == roll["right"] == {"kim": M, "lee": M}
    flat = directory.read(nested=False)
    assert flat.roll["outer"] == {"ada": M}
    assert flat.notes == ()


def test_owners_manage(directory):
    directory.add(
        group("tutors", "kim"),
        group("geo101", "sam", owner=[f"uid=ada,ou=people,{BASE}", group_dn("tutors")]),
    )
    found = directory.read(owner_attribute="owner").roll["geo101"]
    assert found == {"sam": M, "ada": "manager", "kim": "manager"}
    assert directory.read().roll["geo101"] == {"sam": M}


def test_more_than_the_server_hands_out_at_once(directory):
    many = [f"u{i}" for i in range(2 * LIMIT + 7)]
    directory.add(*(person(name) for name in many), group("all", *many))
    for page_size in (7, LIMIT, 500):
        assert len(directory.read(page_size=page_size).roll["all"]) == len(many)
    with pytest.raises(DirectoryError, match=r"only a part of what is below .*sizeLimitExceeded"):
        directory.read(bind_dn=LIMITED)


def test_a_member_who_is_taken_out_and_a_user_who_is_renamed(directory):
    sam = f"cn=Sam S.,ou=people,{BASE}"
    directory.add(person("sams", sam), group("geo101", "ada", sam))
    assert directory.read().roll["geo101"] == {"ada": M, "sams": M}
    directory.server.change(sam, uid=["Sam.Smith"])
    assert directory.read().roll["geo101"] == {"ada": M, "sam.smith": M}
    assert directory.read(user_lowercase=False).roll["geo101"] == {"ada": M, "Sam.Smith": M}
    directory.server.change(group_dn("geo101"), member=[sam])
    assert directory.read().roll["geo101"] == {"sam.smith": M}
    directory.server.delete(sam)
    found = directory.read()
    assert found.roll["geo101"] == {}
    assert "1 member left out" in found.notes[0]


def test_a_directory_that_says_nothing_is_not_believed(directory):
    with pytest.raises(DirectoryError, match=f"found no group below {BASE} with "):
        directory.read()
    assert directory.read(allow_empty=True).roll == {}
    directory.add(group("geo101", "ada"))
    with pytest.raises(DirectoryError, match="found no user below"):
        directory.read(user_filter="(uid=nobody)")


def test_what_is_wrong_is_said_in_a_sentence(directory):
    directory.add(group("geo101", "ada"))
    uri = directory.server.uri
    here = directory.password.with_name("other")
    here.write_text("wrong")
    for more, words in (
        ({"password_file": str(here)}, f"{uri}: the password of {READER} is wrong"),
        ({"password_file": ""}, "there is no password for cn=reader"),
        ({"password_file": "/nowhere"}, "'password_file' can't be read"),
        ({"base": "dc=nowhere"}, "there is no entry dc=nowhere, or cn=reader"),
        ({"group_base": f"ou=x,{BASE}"}, f"there is no entry ou=x,{BASE}, or"),
        ({"group_filter": "(cn=x"}, "(cn=x is not a filter"),
        ({"base": "nowhere"}, "refused: invalidDNSyntax"),
    ):
        with pytest.raises(DirectoryError) as error:
            directory.read(**more)
        assert words in str(error.value)
        assert "\n" not in str(error.value)
        assert PASSWORD not in str(error.value)
    here.write_text("\n")
    with pytest.raises(DirectoryError, match="is empty"):
        directory.read(password_file=str(here))


def test_the_password_may_be_in_the_environment(directory, monkeypatch):
    directory.add(group("geo101", "ada"))
    monkeypatch.setenv("HUB_GROUPS_LDAP_PASSWORD", PASSWORD)
    assert directory.read(password_file="").roll
    assert directory.read(password_file="", bind_dn="").roll, "and nobody in particular may read"


def test_a_server_that_is_gone_or_silent(directory):
    directory.add(group("geo101", "ada"))
    directory.server.stop()
    with pytest.raises(DirectoryError, match="can't connect: .*refused"):
        directory.read()
    directory.server.start()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = f"ldap://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(DirectoryError, match="the connection broke: "):
            directory.read(uri=mute, timeout=1)
        gone = f"ldap://127.0.0.1:{free_port()}"
        assert directory.read(uri=f"{gone} {directory.server.uri}").roll, "the next one is asked"


def test_a_server_that_goes_in_the_middle(directory, monkeypatch):
    directory.add(group("geo101", "ada"))
    page, pages = _Session._search, []

    def search(session, *which, **how):
        pages.append(which)
        if len(pages) == 3:
            directory.server.stop()
        return page(session, *which, **how)

    monkeypatch.setattr(_Session, "_search", search)
    with pytest.raises(DirectoryError, match="the connection broke: "):
        directory.read(page_size=1)
    assert len(pages) == 3


def test_who_is_encrypted_to_has_to_prove_who_it_is(directory, certificate):
    directory.add(group("geo101", "ada"))
    crt = str(certificate[0])
    plain, tls = (
        uri.replace("127.0.0.1", "localhost")
        for uri in (directory.server.uri, directory.server.ldaps)
    )
    for uri in (plain, tls):
        how = {"uri": uri, "start_tls": True}
        assert directory.read(**how, ca_file=crt).roll
        with pytest.raises(DirectoryError, match=r"(?i)certificate"):
            directory.read(**how)
        assert directory.read(**how, verify=False).roll
        with pytest.raises(DirectoryError, match=r"(?i)certificate"):
            directory.read(uri=uri.replace("localhost", "127.0.0.1"), start_tls=True, ca_file=crt)


# -- a hub ---------------------------------------------------------------------------------------


@pytest.fixture
def hub(directory, fresh_hub, each_hub):
    """Where ada and sam are in geo101, and with kim in all, and sam in one by hand too; ada has
    come by."""
    directory.add(
        group("geo101", "ada", "sam"),
        group("all", group_dn("geo101"), "kim"),
        group("staff", "kim"),
    )
    hub = fresh_hub(
        "ldap",
        python=each_hub,
        ldap_port=directory.server.port,
        ldap=directory.said,
        ldap_every=LDAP_EVERY,
    )
    hub.login("ada", "of-ada")
    comes_to_be_in(hub, "ada", "geo101", "all")
    hub.login("sam", "of-sam")
    assert hub.groups("sam") == {"geo101", "all"}, "at once, since the directory has been read"
    hub.api("groups/by-hand", "POST")
    hub.api("groups/by-hand/users", "POST", json={"users": ["sam"]})
    return hub


def comes_to_be_in(hub, user: str, *groups: str) -> None:
    """Within the minute that there is, and without a login."""
    wait_for(f"{user} to be in {groups}", lambda: hub.groups(user) == set(groups), 60)


def test_a_hub_whose_users_log_in_there(directory, hub):
    with pytest.raises(AssertionError):
        hub.login("sam", "of-ada")
    directory.server.change(group_dn("geo101"), member=[f"uid=ada,ou=people,{BASE}"])
    comes_to_be_in(hub, "sam", "by-hand")  # nor in the group that this one is in
    assert hub.groups("ada") == {"geo101", "all"}
    hub.login("sam", "of-sam")
    assert hub.groups("sam") == {"by-hand"}


@pytest.mark.slow
def test_a_hub_whose_directory_is_down(directory, hub):
    directory.server.stop()
    wait_for("an outage", lambda: "ldap not read, its memberships stay" in hub.log)
    assert hub.groups("sam") == {"geo101", "all", "by-hand"}
    hub.stop()
    hub.start()
    assert hub.groups("sam") == {"geo101", "all", "by-hand"}
    directory.server.start()
    directory.server.change(group_dn("geo101"), member=[f"uid=ada,ou=people,{BASE}"])
    comes_to_be_in(hub, "sam", "by-hand")


@pytest.mark.slow
def test_a_hub_whose_users_are_called_something_else(directory, hub):
    """Another user name is another user of the hub, whom the directory has in the same groups."""
    new = f"uid=samuel,ou=people,{BASE}"
    with directory.server.admin() as connection:
        connection.modify_dn(f"uid=sam,ou=people,{BASE}", "uid=samuel")
    try:
        directory.server.change(group_dn("geo101"), member=[f"uid=ada,ou=people,{BASE}", new])
        comes_to_be_in(hub, "sam", "by-hand")
        hub.login("samuel", "of-sam")
        comes_to_be_in(hub, "samuel", "geo101", "all")
        assert hub.groups("ada") == {"geo101", "all"}
    finally:
        with directory.server.admin() as connection:
            connection.modify_dn(new, "uid=sam")
