"""What Entra ID, Okta and Keycloak send, as they have published it."""

from __future__ import annotations

from scim_server import GROUP, PATCH, USER, client, refused, scim, url

__all__ = ["client", "scim", "url"]

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
GUID = "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"


def test_entra_id(scim, client):
    # "Test connection": somebody whom there is not.
    assert client.found("Users", f'userName eq "{GUID}"') == []
    answer = client.post(
        "Users",
        json={
            "schemas": [USER, ENTERPRISE],
            "externalId": GUID,
            "userName": "Test_User@contoso.com",
            "active": "True",
            "emails": [{"primary": True, "type": "work", "value": "test_user@corp.local"}],
            "meta": {"resourceType": "User"},
            "name": {"formatted": "Given Family", "familyName": "Family", "givenName": "Given"},
            "roles": [],
            ENTERPRISE: {"employeeNumber": "7", "manager": GUID},
        },
    )
    assert answer.status_code == 201, answer.text
    user = answer.json()
    assert (user["active"], user["schemas"]) == (True, [USER])
    assert answer.headers["Location"] == user["meta"]["location"] == f"{scim.url}Users/{user['id']}"
    assert client.found("Users", f'externalId eq "{GUID}"') == [user["id"]]
    assert client.found("Users", 'userName eq "TEST_USER@contoso.com"') == [user["id"]]

    me = f"Users/{user['id']}"
    patched = client.changed(
        me,
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "updated@corp.local"},
        {"op": "Add", "path": 'emails[type eq "home"].value', "value": "home@example.org"},
        {"op": "Replace", "path": "name.familyName", "value": "Updated"},
        {"op": "Add", "path": 'addresses[type eq "work"].locality', "value": "Berlin"},
        {"op": "Replace", "path": f"{ENTERPRISE}:department", "value": "Research"},
        {"op": "Add", "path": f"{ENTERPRISE}:manager", "value": GUID},
        {"op": "Add", "value": {"title": "Dr", "name.givenName": "Greta", "unknown": 1}},
    )
    assert {one["type"]: one["value"] for one in patched["emails"]} == {
        "work": "updated@corp.local",
        "home": "home@example.org",
    }
    assert (patched["name"]["familyName"], patched["name"]["givenName"]) == ("Updated", "Greta")
    assert (patched["title"], patched["addresses"][0]["locality"]) == ("Dr", "Berlin")

    answer = client.post(
        "Groups",
        json={
            "schemas": [
                GROUP,
                "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group",
            ],
            "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
            "displayName": "Course",
            "meta": {"resourceType": "Group"},
        },
    )
    assert answer.status_code == 201, answer.text
    group = answer.json()["id"]
    here = f"Groups/{group}"
    assert "members" not in client.get(f"{here}?excludedAttributes=members").json()
    found = client.found("Groups", 'displayName eq "course"', excludedAttributes="members")
    assert found == [group]

    member = [{"$ref": None, "value": user["id"]}]
    assert client.change(here, {"op": "Add", "path": "members", "value": member}).status_code == 204
    assert scim.groups == {("test_user@contoso.com", "Course")}
    asked = f'id eq "{group}" and members eq "{user["id"]}"'
    assert client.found("Groups", asked, excludedAttributes="members") == [group]
    client.changed(here, {"op": "Replace", "path": "displayName", "value": "Course 2"})
    assert scim.groups == {("test_user@contoso.com", "Course 2")}
    client.changed(here, {"op": "Remove", "path": "members", "value": member})
    assert scim.groups == set()
    assert client.found("Groups", asked) == []
    client.changed(here, {"op": "Add", "path": "members", "value": member})

    # Unassigned: soft-deleted first, as text and as a boolean; then deleted.
    assert (
        client.changed(me, {"op": "Replace", "path": "active", "value": "False"})["active"] is False
    )
    assert scim.groups == set()
    client.changed(me, {"op": "Replace", "path": "active", "value": True})
    assert scim.groups == {("test_user@contoso.com", "Course 2")}
    client.changed(me, {"op": "Replace", "value": {"active": "False"}})
    assert scim.groups == set()
    assert client.delete(me).status_code == 204
    assert client.delete(here).status_code == 204
    refused(client.get(me), 404)


def test_okta(scim, client):
    assert (
        client.found("Users", 'userName eq "test.user@okta.local"', startIndex=1, count=100) == []
    )
    sent = {
        "schemas": [USER],
        "userName": "test.user@okta.local",
        "name": {"givenName": "Test", "familyName": "User"},
        "emails": [{"primary": True, "value": "test.user@okta.local", "type": "work"}],
        "displayName": "Test User",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": True,
    }
    answer = client.post("Users", json=sent)
    assert answer.status_code == 201, answer.text
    assert "password" not in answer.json()
    id = answer.json()["id"]
    refused(client.post("Users", json=sent), 409, "uniqueness")

    listed = client.get("Groups", params={"startIndex": 1, "count": 100}).json()
    assert (listed["totalResults"], listed.get("Resources", [])) == (0, [])
    answer = client.post("Groups", json={"schemas": [GROUP], "displayName": "Test", "members": []})
    group = f"Groups/{answer.json()['id']}"
    member = [{"value": id, "display": "test.user@okta.local"}]
    assert (
        client.change(group, {"op": "add", "path": "members", "value": member}).status_code == 204
    )
    assert scim.groups == {("test.user@okta.local", "Test")}
    named = {"id": group.split("/")[1], "displayName": "Test SCIMv2"}
    assert client.change(group, {"op": "replace", "value": named}).status_code == 204
    assert scim.groups == {("test.user@okta.local", "Test SCIMv2")}

    shown = client.get(f"Users/{id}").json()
    assert [one["display"] for one in shown["groups"]] == ["Test SCIMv2"]
    answer = client.put(f"Users/{id}", json={**shown, "userName": "renamed@okta.local"})
    assert answer.status_code == 200, answer.text
    assert scim.groups == {("renamed@okta.local", "Test SCIMv2")}
    assert "1mz050nq" not in str([dict(answer.json()), client.get("Users").json()])

    one = {"op": "remove", "path": f'members[value eq "{id}"]'}
    assert client.change(group, one).status_code == 204
    assert scim.groups == set()
    whole = {"schemas": [GROUP], "displayName": "Test SCIMv2", "members": member}
    assert client.put(group, json=whole).json()["members"][0]["value"] == id
    assert scim.groups == {("renamed@okta.local", "Test SCIMv2")}

    off = {"schemas": [PATCH], "Operations": [{"op": "replace", "value": {"active": False}}]}
    assert client.patch(f"Users/{id}", json=off).status_code == 204
    assert scim.groups == set()
    off["Operations"][0]["value"]["active"] = True
    assert client.patch(f"Users/{id}", json=off).status_code == 204
    assert scim.groups == {("renamed@okta.local", "Test SCIMv2")}
    assert client.delete(group).status_code == 204
    assert scim.groups == set()


def test_keycloak(scim, client):
    client.headers["Content-Type"] = "application/scim+json; charset=utf-8"
    people = []
    for name in ("Anna", "ben"):
        answer = client.post(
            "Users",
            json={
                "schemas": [USER],
                "externalId": f"keycloak-{name}",
                "meta": {"resourceType": "User"},
                "userName": name,
                "displayName": f"{name} Example",
                "name": {"givenName": name, "familyName": "Example"},
                "active": True,
                "emails": [{"value": f"{name}@localhost", "primary": True}],
                "roles": [],
                "groups": [],
            },
        )
        assert answer.status_code == 201, answer.text
        people.append(answer.json())
    sent = {
        "schemas": [GROUP],
        "externalId": "keycloak-group",
        "displayName": "/physics/lab",
        "members": [
            {"value": one["id"], "$ref": one["meta"]["location"], "type": "User"} for one in people
        ],
    }
    answer = client.post("Groups", json=sent)
    assert answer.status_code == 201, answer.text
    group = answer.json()
    assert scim.groups == {("anna", "/physics/lab"), ("ben", "/physics/lab")}
    sent["members"].pop()
    answer = client.put(f"Groups/{group['id']}", json={**sent, "id": group["id"]})
    assert answer.status_code == 200, answer.text
    assert scim.groups == {("anna", "/physics/lab")}
    answer = client.put(f"Users/{people[0]['id']}", json={**people[0], "active": False})
    assert answer.status_code == 200, answer.text
    assert scim.groups == set()
    listed = client.get("Users", params={"startIndex": 1, "count": 1}).json()
    assert (listed["totalResults"], listed["itemsPerPage"], listed["startIndex"]) == (2, 1, 1)
    for one in people:
        assert client.delete(f"Users/{one['id']}").status_code == 204
    assert client.get(f"Groups/{group['id']}").json().get("members", []) == []
