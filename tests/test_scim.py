"""SCIM over HTTP: the protocol, and that nothing else gets in."""

from __future__ import annotations

import json
import logging
import threading
from urllib.parse import quote

import httpx
import pytest
from scim_server import GROUP, PATCH, USER, client, ids, refused, scim, serving, url
from test_hostile import HOSTILE

import hub_groups.scim
from hub_groups.rest import LARGEST_BODY
from hub_groups.scim_storage import MOST_OPERATIONS

__all__ = ["client", "scim", "url"]

BASICS = ("ServiceProviderConfig", "ResourceTypes", "Schemas")


def test_the_reference_suite_finds_nothing_and_skips_nothing(scim):
    httpx2 = pytest.importorskip("httpx2")
    from scim2_client.engines.httpx2 import SyncSCIMClient
    from scim2_tester import Status, check_server

    with httpx2.Client(
        base_url=scim.url, headers={"Authorization": f"Bearer {scim.token}"}
    ) as wire:
        results = check_server(SyncSCIMClient(wire))
    wrong = [(one.status, one.title, one.reason) for one in results]
    assert [one for one in wrong if one[0] != Status.SUCCESS] == []
    assert len(results) > 100


# -- tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        "Bearer scim-0-0",
        "Bearer scim-%s-x",
        "Basic {token}",
        "token {token}",
        "Bearer {token}x",
        "Bearer {token} x",
    ],
)
def test_without_a_token_there_is_nothing_to_see(scim, header):
    headers = {} if header is None else {"Authorization": header.replace("{token}", scim.token)}
    for method, path in (("GET", "Users"), ("POST", "Users"), ("GET", "x"), ("GET", "Schemas")):
        answer = httpx.request(method, scim.url + path, headers=headers)
        refused(answer, 401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_what_is_needed_to_log_in_needs_no_login(scim):
    answer = httpx.get(f"{scim.url}ServiceProviderConfig")
    assert answer.json()["authenticationSchemes"][0]["type"] == "oauthbearertoken"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_tokens_can_be_rotated(scim):
    tokens = hub_groups.scim.ScimTokens(scim.store.engine)
    now = scim.store.now()
    [first] = tokens.all()
    new = tokens.create("Okta, spring", now)
    for token in (scim.token, new):
        assert scim.client(token).get("Users").status_code == 200
    assert tokens.revoke(first.id)
    assert not tokens.revoke(first.id)
    refused(scim.client().get("Users"), 401)
    assert scim.client(new).get("Users").status_code == 200
    [left] = tokens.all()
    assert (left.name, left.expires) == ("Okta, spring", None)
    assert now <= left.created <= left.used


def test_a_token_ends_when_it_was_to(scim):
    tokens = hub_groups.scim.ScimTokens(scim.store.engine)
    token = tokens.create("short", 1_000, expires=2_000)
    assert tokens.check(token, 1_999).name == "short"
    assert tokens.check(token, 2_000) is None
    refused(scim.client(token).get("Users"), 401)
    for name, expires in (("", None), ("x" * 101, None), ("x", 1_000), ("a\0", None)):
        with pytest.raises(ValueError, match="A token"):
            tokens.create(name, 1_000, expires)


def test_tokens_are_neither_stored_nor_logged(scim, client, caplog):
    caplog.set_level(logging.DEBUG)
    client.get("Users")
    refused(httpx.get(f"{scim.url}Users", headers={"Authorization": "Bearer secret-x-y"}), 401)
    scim.fails = True
    client.add_group("course", client.add_user("anna"))
    scim.fails = False
    client.get("Users")
    assert scim.token not in caplog.text
    assert "secret-x-y" not in caplog.text
    with scim.store.engine.connect() as db:
        from hub_groups.scim_tables import scim_token

        rows = str(db.execute(scim_token.select()).all())
    assert scim.token.split("-", 2)[2] not in rows


# -- resources ------------------------------------------------------------------------------------


def test_versions(client):
    user = f"Users/{client.add_user('anna')}"
    first = client.get(user)
    tag = first.headers["ETag"]
    assert tag == first.json()["meta"]["version"] == 'W/"1"'
    assert client.get(user, headers={"If-None-Match": tag}).status_code == 304
    assert client.get(user, headers={"If-None-Match": 'W/"0", "1"'}).status_code == 304
    title = {"op": "replace", "path": "title", "value": "Dr"}
    refused(client.change(user, title, headers={"If-Match": 'W/"7"'}), 412)
    assert client.change(user, title, headers={"If-Match": tag}).headers["ETag"] == 'W/"2"'
    assert client.get(user, headers={"If-None-Match": tag}).status_code == 200
    # What changes nothing makes no version.
    assert client.change(user, title).headers["ETag"] == 'W/"2"'
    whole = {"schemas": [USER], "userName": "anna", "title": "Prof"}
    refused(client.put(user, json=whole, headers={"If-Match": tag}), 412)
    assert client.put(user, json=whole, headers={"If-Match": "*"}).headers["ETag"] == 'W/"3"'
    refused(client.delete(user, headers={"If-Match": tag}), 412)
    assert client.delete(user, headers={"If-Match": 'W/"3"'}).status_code == 204


def test_a_group_and_its_members_have_another_version_when_they_differ(client):
    anna, ben = client.add_user("anna"), client.add_user("ben")
    group = f"Groups/{client.add_group('course', anna)}"
    before = client.get(group).headers["ETag"]
    was = client.get(f"Users/{ben}").headers["ETag"]
    add = {"op": "add", "path": "members", "value": ids(ben)}
    refused(client.change(group, add, headers={"If-Match": 'W/"9"'}), 412)
    assert client.change(group, add, headers={"If-Match": before}).headers["ETag"] != before
    assert client.get(f"Users/{ben}").headers["ETag"] != was
    same = client.get(group).headers["ETag"]
    assert client.change(group, add).headers["ETag"] == same
    client.delete(f"Users/{ben}")
    assert client.get(group).headers["ETag"] != same


def test_pages(client):
    people = [client.add_user(f"user{n}") for n in range(5)]
    page = client.get("Users", params={"startIndex": 2, "count": 2}).json()
    assert [one["id"] for one in page["Resources"]] == people[1:3]
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (5, 2, 2)
    for params, there in (
        ({"count": 0}, []),
        ({"count": -1}, []),
        ({"startIndex": 0, "count": 1}, people[:1]),
        ({"startIndex": 6}, []),
        ({"startIndex": 10**20}, []),
        ({"count": 10**20}, people),
    ):
        found = client.get("Users", params=params)
        assert found.status_code == 200, found.text
        assert [one["id"] for one in found.json().get("Resources", [])] == there
        assert found.json()["totalResults"] == 5
    refused(client.get("Users", params={"count": "x"}), 400, "invalidValue")
    found = client.get("Users", params={"sortBy": "userName", "sortOrder": "descending"}).json()
    assert [one["userName"] for one in found["Resources"]][:2] == ["user4", "user3"]


def test_filters(client):
    anna = client.add_user("Anna", externalId="Ext-1", displayName="A", active=True, title="Dr")
    ben = client.add_user("ben", externalId="ext-2", active=False)
    group = client.add_group("Course", anna, externalId="g")
    for filter, found in (
        ('userName eq "ANNA"', [anna]),
        ('USERNAME EQ "anna"', [anna]),
        ('externalId eq "ext-1"', []),
        ('externalId eq "Ext-1"', [anna]),
        ('userName eq "anna" and title eq "dr"', [anna]),
        ('userName eq "anna" and title eq "x"', []),
        ('userName eq "anna" or externalId eq "ext-2"', [anna, ben]),
        ('userName eq "anna" or active eq false', [anna, ben]),
        ('not (userName eq "anna")', [ben]),
        ('userName sw "AN"', [anna]),
        (f'id eq "{ben}"', [ben]),
        ("title pr", [anna]),
        ('groups.display eq "course"', [anna]),
        (f'groups[value eq "{group}"]', [anna]),
        ('meta.created gt "2020-01-01T00:00:00Z" and active eq true', [anna]),
        (f'{USER}:userName eq "anna"', [anna]),
        ('userName eq "' + "a" * 5000 + '"', []),
        ('userName eq "\\u0000"', []),
    ):
        assert client.found("Users", filter) == found, filter
    for filter, found in (
        ('displayName eq "course"', [group]),
        (f'members eq "{anna}"', [group]),
        (f'members.value eq "{anna}"', [group]),
        (f'members[value eq "{anna}"]', [group]),
        (f'members[value eq "{anna}" or value eq "{ben}"]', [group]),
        (f'members eq "{ben}"', []),
        (f'displayName eq "course" and members eq "{ben}"', []),
        (f'displayName eq "course" and not (members eq "{ben}")', [group]),
    ):
        for params in ({}, {"excludedAttributes": "members"}):
            assert client.found("Groups", filter, **params) == found, filter
    for filter in ("userName", 'userName eq "x', 'userName xx "x"', 'nothing eq "x"', "(", ""):
        refused(client.get("Users", params={"filter": filter}), 400, "invalidFilter")
    asked = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": 'userName eq "anna"',
        "attributes": ["userName"],
    }
    [found] = client.post("Users/.search", json=asked).json()["Resources"]
    assert set(found) == {"schemas", "id", "userName"}
    everything = client.get("").json()
    assert everything["totalResults"] == 3


def test_what_is_asked_for(client):
    anna = client.add_user("anna", displayName="A")
    group = client.add_group("course", anna)
    shown = client.get(f"Groups/{group}", params={"excludedAttributes": "members"}).json()
    assert "members" not in shown
    assert client.get(f"Groups/{group}").json()["members"] == [
        {"value": anna, "$ref": f"{client.base_url}Users/{anna}"}
    ]
    some = client.get("Users", params={"attributes": "userName,groups.display"}).json()
    assert some["Resources"] == [
        {"schemas": [USER], "id": anna, "userName": "anna", "groups": [{"display": "course"}]}
    ]
    add = {"op": "add", "path": "members", "value": ids(client.add_user("ben"))}
    answer = client.change(f"Groups/{group}", add, params={"attributes": "members"})
    assert len(answer.json()["members"]) == 2
    both = {"attributes": "userName", "excludedAttributes": "title"}
    refused(client.get("Users", params=both), 400, "invalidValue")


def test_names_are_there_once(scim, client):
    anna = client.add_user("Anna")
    group = client.add_group("Course")
    again = {"schemas": [USER], "userName": "aNNA"}
    refused(client.post("Users", json=again), 409, "uniqueness")
    refused(
        client.post("Groups", json={"schemas": [GROUP], "displayName": "COURSE"}), 409, "uniqueness"
    )
    ben = client.add_user("ben")
    refused(client.put(f"Users/{ben}", json=again), 409, "uniqueness")
    rename = {"op": "replace", "path": "userName", "value": "anna"}
    refused(client.change(f"Users/{ben}", rename), 409, "uniqueness")
    assert client.changed(f"Users/{anna}", rename)["userName"] == "anna"
    client.add_group("other")
    client.changed(f"Groups/{group}", {"op": "replace", "path": "displayName", "value": "course"})
    client.delete(f"Users/{anna}")
    client.add_user("ANNA")


def test_local_parts_are_there_once(tmp_path):
    with (
        serving(f"sqlite:///{tmp_path}/groups.sqlite", "localpart") as scim,
        scim.client() as client,
    ):
        anna = client.add_user("Anna@example.org")
        client.add_group("course", anna)
        assert scim.groups == {("anna", "course")}
        other = {"schemas": [USER], "userName": "anna@evil.example"}
        refused(client.post("Users", json=other), 409, "uniqueness")
        refused(client.post("Users", json={**other, "userName": "@x"}), 400, "invalidValue")
        rename = {"op": "replace", "path": "userName", "value": "anna@new.example.org"}
        client.changed(f"Users/{anna}", rename)
        assert scim.groups == {("anna", "course")}
        assert len(scim.told) == 1
        scim.check()


# -- members --------------------------------------------------------------------------------------


def test_members(scim, client):
    anna, ben, cleo = (client.add_user(name) for name in ("anna", "ben", "cleo"))
    group = f"Groups/{client.add_group('g')}"

    def members(*operations) -> set[str]:
        shown = client.changed(group, *operations)
        return {one["value"] for one in shown.get("members", [])}

    def op(op: str, path: str | None = "members", **more) -> dict:
        return {"op": op, **({"path": path} if path else {}), **more}

    assert members(op("add", value=ids(anna, anna))) == {anna}
    assert members(op("Add", value={"value": ben})) == {anna, ben}
    assert members(op("add", None, value={"members": ids(cleo)})) == {anna, ben, cleo}
    with_name = [{"value": cleo, "display": "Cleo", "type": "User"}]
    assert members(op("remove", value=with_name)) == {anna, ben}
    assert members(op("remove", f'members[value eq "{anna}"]'), op("add", value=ids(cleo))) == {
        ben,
        cleo,
    }
    assert members(op("remove", f'members[value eq "{anna}" or value eq "{ben}"]')) == {cleo}
    assert members(op("remove", f'members[value eq "{cleo}" and value eq "{ben}"]')) == {cleo}
    assert members(op("remove", f'members[not (value eq "{cleo}")]')) == {cleo}
    assert members(op("remove", 'members[value eq "nobody"]')) == {cleo}
    assert members(op("replace", value=ids(anna, ben))) == {anna, ben}
    assert members(op("add", value=ids(cleo)), op("remove", value=ids(cleo))) == {anna, ben}
    assert members(op("replace", None, value={"displayName": "h", "members": ids(cleo)})) == {cleo}
    assert scim.groups == {("cleo", "h")}
    assert members(op("remove"), op("add", value=ids(anna))) == {anna}
    assert members(op("replace", f"{GROUP}:members", value=ids(ben))) == {ben}
    assert members(op("replace", value=[])) == set()
    assert members(op("add", value=ids(anna)), op("remove")) == set()
    assert scim.groups == set()


def test_what_is_no_member(scim, client):
    anna = client.add_user("anna")
    group = client.add_group("g", anna)
    inner = client.add_group("inner")
    for value in (
        ids("nobody"),
        ids(inner),
        ids(anna, "nobody"),
        [{"value": inner, "type": "Group"}],
    ):
        answer = client.change(f"Groups/{group}", {"op": "add", "path": "members", "value": value})
        assert "There is no user" in refused(answer, 400, "invalidValue")
        sent = {"schemas": [GROUP], "displayName": "g", "members": value}
        refused(client.put(f"Groups/{group}", json=sent), 400, "invalidValue")
    for value in ([{}], [{"value": None}], [{"value": ""}], [anna], [[anna]], 7, "x"):
        for op in ("add", "replace"):
            answer = client.change(f"Groups/{group}", {"op": op, "path": "members", "value": value})
            assert answer.status_code == 400, (op, value, answer.text)
        answer = client.put(f"Groups/{group}", json={"displayName": "g", "members": value})
        assert answer.status_code == 400, (value, answer.text)
    assert scim.groups == {("anna", "g")}


def test_a_change_is_made_as_a_whole_or_not_at_all(scim, client):
    anna, ben = client.add_user("anna"), client.add_user("ben")
    group = f"Groups/{client.add_group('g', anna)}"
    before = client.get(group).json()
    add = {"op": "add", "path": "members", "value": ids(ben)}
    for bad in (
        {"op": "replace", "path": "displayName", "value": ""},
        {"op": "remove", "path": "displayName"},
        {"op": "replace", "path": "id", "value": "x"},
        {"op": "add", "path": "members", "value": ids("nobody")},
        {"op": "move", "path": "displayName"},
    ):
        assert client.change(group, add, bad).status_code == 400
        assert client.get(group).json() == before
    assert scim.groups == {("anna", "g")}


# -- what the hub is told -------------------------------------------------------------------------


def test_each_change_is_told_once(scim, client):
    anna = client.add_user("Anna")
    group, other = client.add_group("g", anna), client.add_group("h", anna)
    scim.told.clear()
    client.changed(f"Users/{anna}", {"op": "replace", "path": "title", "value": "Dr"})
    client.changed(f"Groups/{group}", {"op": "add", "path": "members", "value": ids(anna)})
    assert scim.told == []
    client.changed(f"Users/{anna}", {"op": "replace", "path": "userName", "value": "Bea"})
    assert scim.told == [
        [("anna", "g", None), ("anna", "h", None), ("bea", "g", "member"), ("bea", "h", "member")]
    ]
    client.delete(f"Groups/{other}")
    client.delete(f"Users/{anna}")
    assert scim.told[1:] == [[("bea", "h", None)], [("bea", "g", None)]]


def test_what_the_hub_could_not_take_is_told_again(scim, client):
    anna = client.add_user("anna")
    scim.fails = True
    group = f"Groups/{client.add_group('g', anna)}"
    client.changed(group, {"op": "replace", "path": "members", "value": []})
    client.changed(group, {"op": "replace", "path": "members", "value": ids(anna)})
    assert scim.groups == set()
    scim.fails = False
    client.get("Users")
    assert scim.told == [[("anna", "g", "member")]]


def test_many_at_once(scim, client):
    people = [client.add_user(f"user{n}") for n in range(24)]
    group = f"Groups/{client.add_group('g')}"

    def work(mine: list[str]) -> None:
        with scim.client() as client:
            for one in mine:
                add = {"op": "add", "path": "members", "value": ids(one)}
                assert client.change(group, add).status_code == 204

    threads = [threading.Thread(target=work, args=(people[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(scim.groups) == len(people)


# -- what nobody should send ----------------------------------------------------------------------


def test_addresses_and_methods(client):
    refused(client.get("Users/nobody"), 404)
    refused(client.get("Nothing"), 404)
    refused(client.get("Users/a/b"), 404)
    refused(client.put("Users", json={}), 405)
    refused(client.post("Users/x", json={}), 405)
    for path in BASICS:
        refused(client.post(path, json={}), 405)
        refused(client.get(path, params={"filter": 'id eq "x"'}), 403)
    refused(client.post("Bulk", json={}), 501)
    refused(client.get("Me"), 501)
    assert client.request("HEAD", "Users").status_code == 405
    assert client.request("OPTIONS", "Users").status_code == 405
    refused(client.post("Users", content="<x/>", headers={"Content-Type": "text/xml"}), 415)
    for content in ("", "{", "[]", "null", "7", "\xff", "[" * 10_000, '{"a":' * 5_000):
        refused(client.post("Users", content=content), 400, "invalidSyntax") if content in (
            "",
            "{",
        ) else refused_somehow(client.post("Users", content=content))


def refused_somehow(answer) -> None:
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["detail"]


def test_bodies_have_an_end(client):
    name = "x" * LARGEST_BODY
    refused(client.post("Users", json={"schemas": [USER], "userName": name}), 413)
    user = f"Users/{client.add_user('anna')}"
    many = [{"op": "replace", "path": "title", "value": str(n)} for n in range(MOST_OPERATIONS + 1)]
    refused(client.change(user, *many), 400, "invalidValue")
    assert client.change(user, *many[1:]).status_code == 204


def test_hostile_input_is_refused_or_taken_as_text(scim, client, caplog):
    anna = client.add_user("anna")
    group = client.add_group("course", anna)
    stored = 0
    for text in HOSTILE:
        part = quote(text[:2000], safe="")
        string = json.dumps(text)
        short = text[:4000]
        for method, path, sent in (
            ("GET", f"Users/{part}", {}),
            ("DELETE", f"Groups/{part}", {}),
            ("PATCH", f"Groups/{part}", {"json": {"schemas": [PATCH], "Operations": []}}),
            ("GET", f"{part}", {}),
            ("GET", "Users", {"params": {"filter": short}}),
            ("GET", "Users", {"params": {"filter": f"userName eq {string[:8000]}"}}),
            ("GET", "Groups", {"params": {"filter": f"members[value eq {string[:8000]}]"}}),
            ("GET", "Users", {"params": {"filter": f"title co {string[:8000]}"}}),
            ("GET", "Users", {"params": {"sortBy": short, "sortOrder": short}}),
            ("GET", "Users", {"params": {"startIndex": short}}),
            ("GET", "Users", {"params": {"count": short}}),
            ("GET", "Users", {"params": {"attributes": short}}),
            ("GET", "Users", {"params": {"excludedAttributes": short, short: short}}),
            ("POST", "Users", {"content": text.encode("utf-8", "replace")}),
            ("POST", "Users", {"json": {"schemas": [text], "userName": "x"}}),
            ("POST", "Users", {"json": {"schemas": [USER], "userName": text, "externalId": text}}),
            ("POST", "Users", {"json": {"schemas": [USER], "userName": f"t{stored}", text: text}}),
            ("POST", "Groups", {"json": {"schemas": [GROUP], "displayName": text}}),
            ("POST", "Groups", {"json": {"schemas": [GROUP], "displayName": "m", "members": text}}),
            ("PUT", f"Groups/{group}", {"json": {"displayName": "course", "members": ids(text)}}),
            ("PATCH", f"Users/{anna}", op(text, "title", text)),
            ("PATCH", f"Users/{anna}", op("replace", text, text)),
            ("PATCH", f"Users/{anna}", op("replace", "active", text)),
            ("PATCH", f"Users/{anna}", op("replace", "title", text)),
            ("PATCH", f"Users/{anna}", op("replace", f"emails[type eq {string}].value", text)),
            ("PATCH", f"Users/{anna}", op("add", None, {text: text})),
            ("PATCH", f"Groups/{group}", op("add", "members", ids(text))),
            ("PATCH", f"Groups/{group}", op("remove", "members", text)),
            ("PATCH", f"Groups/{group}", op("remove", f"members[value eq {string}]", None)),
        ):
            answer = client.request(method, path, **sent)
            where = (method, path[:60], str(sent)[:80], answer.status_code, answer.text[:300])
            assert answer.status_code < 500, where
            assert "X-Hostile" not in answer.headers, where
            assert "Set-Cookie" not in answer.headers, where
            assert len(answer.text) < 250_000, where
            if answer.status_code >= 400:
                refused_somehow(answer)
            stored += answer.status_code == 201
    assert stored > 20
    assert "Traceback" not in caplog.text
    for path in ("Users", "Groups"):
        assert client.get(path).status_code == 200


def op(op: str, path: str | None, value) -> dict:
    more = {"path": path} if path is not None else {}
    operation = {"op": op, **more, **({} if value is None else {"value": value})}
    return {"json": {"schemas": [PATCH], "Operations": [operation]}}


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match", "Authorization", "Content-Type"])
def test_hostile_headers(client, name):
    anna = client.add_user("anna")
    for text in HOSTILE:
        value = text.encode("ascii", "replace").translate(None, b"\r\n\0")[:8000]
        for method in ("GET", "PUT"):
            answer = client.request(
                method, f"Users/{anna}", json={"userName": "anna"}, headers={name: value}
            )
            assert answer.status_code < 500, (name, text[:40], answer.text)
