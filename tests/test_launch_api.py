"""The API of launches, on a real hub."""

from __future__ import annotations

import httpx
import pytest
from gitserver import commit, open_git_server
from hubs import PATIENCE, Hub
from openapi_spec_validator import validate

LAUNCH = {"environment": {"profile": "small"}, "target": {"file": "a.ipynb"}}


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    return start_hub("launches")


def client(hub: Hub, user: str, *scopes: str) -> httpx.Client:
    token = hub.login(user).token("access:services!service=launch", *scopes)
    return httpx.Client(
        base_url=f"{hub.base}services/launch/api/",
        headers={"Authorization": f"token {token}"},
        timeout=PATIENCE,
        trust_env=False,
    )


@pytest.fixture(scope="module")
def ada(hub) -> httpx.Client:
    return client(hub, "prof-ada", "custom:launch:act", "read:servers!user")


def test_a_link_from_making_to_taking_back(hub, ada):
    new = {"launch": LAUNCH, "label": "Week 1", "users": ["sam"], "until": "2040-01-01"}
    made = ada.post("links", json=new)
    assert made.status_code == 201, made.text
    link = made.json()
    assert link["launch"] == LAUNCH
    assert (link["users"], link["until"]) == (["sam"], "2040-01-02T00:00:00Z")
    assert hub.login("sam").get(link["url"]).status_code == 200
    assert ada.get(f"links/{link['id']}").json()["counts"] == {"clicked": 1}
    assert link["id"] in [one["id"] for one in ada.get("links").json()["links"]]
    assert client(hub, "sam", "custom:launch:act").delete(f"links/{link['id']}").status_code == 404
    assert ada.delete(f"links/{link['id']}").status_code == 204
    assert ada.get(f"links/{link['id']}").json()["revoked"]
    assert ada.get("links/abcdefghjk").status_code == 404


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ({"launch": {"content": {}}}, "launch.content.repository: needs a text."),
        ({"launch": {"target": {"file": "../x"}}}, "is not a path within"),
        ({"launch": {}, "until": "2001-01-01"}, "is over"),
        ({"launch": {"group": "default", "join": True}}, "nobody is put into"),
        ({"launch": {"group": "geo-102", "join": True}}, "Only who manages geo-102"),
        ({}, "launch: Field required."),
    ],
)
def test_what_can_not_be_is_said(ada, new, said):
    answer = ada.post("links", json=new)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


def test_a_token_changes_something_only_where_it_may(hub):
    sam = client(hub, "sam")
    assert sam.get("links").status_code == 200
    answer = sam.post("links", json={"launch": LAUNCH})
    assert answer.status_code == 403
    assert "custom:launch:act" in answer.json()["detail"]
    assert sam.delete("links/abcdefghjk").status_code == 403
    assert sam.post("keys", json={"public": "x"}).status_code == 403


def test_keys(ada):
    from share_links.tokens import make_key

    public = make_key()[1]
    key = ada.post("keys", json={"public": public, "label": "Book"}).json()
    assert ada.get("keys").json()["keys"] == [key]
    assert ada.delete(f"keys/{key['id']}").status_code == 204
    assert ada.delete(f"keys/{key['id']}").status_code == 404
    assert ada.post("keys", json={"public": "x"}).status_code == 400


def test_whether_a_launch_would_work(hub, ada, tmp_path):
    def problems(**launch):
        answer = ada.post("check", json={"launch": launch})
        assert answer.status_code == 200, answer.text
        return answer.json()["problems"]

    found = ada.post("check", json={"launch": LAUNCH}).json()
    # Other tests have launched on this hub, whose servers can't pull.
    assert found.pop("nbgitpuller") in (None, False)
    assert found == {"problems": [], "options": {"profile": "small"}, "image": ""}
    (problem,) = problems(environment={"profile": "huge"})
    assert problem.startswith("This hub can't start what the link asks for")
    hub.limits("geo-101: {server.memory: 512M}")
    (problem,) = problems(environment={"profile": "large"}, group="geo-101")
    assert problem.startswith("geo-101 allows each server at most 512 MiB of memory")
    hub.limits("{}")
    commit(tmp_path / "work", {"a": ""})
    with open_git_server(tmp_path / "served") as server:
        content = {"repository": server.publish(tmp_path / "work", "book")}
        assert problems(content=content) == []
        (problem,) = problems(content={**content, "ref": "gone"})
        assert "has no branch or tag 'gone'" in problem
    # What this token may not see of its owner's servers, it can't answer.
    answer = client(hub, "sam").post("check", json={"launch": LAUNCH})
    assert answer.status_code == 403
    assert "read:servers!user" in answer.json()["detail"]


def test_the_document_is_right(ada):
    document = ada.get("openapi.json").json()
    validate(document)
    assert set(document["paths"]) == {"/links", "/links/{id}", "/keys", "/keys/{id}", "/check"}
