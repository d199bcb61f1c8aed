"""Signed links: what is signed comes back, and nothing else does."""

from __future__ import annotations

import base64
import json

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from launches import launches

from share_links.addresses import LaunchError
from share_links.launch import Content, Environment, Launch, Target
from share_links.links import (
    EXPIRED,
    NOT_FOR_YOU,
    OTHER_HUB,
    PLAIN,
    REVOKED,
    SIGNED,
    Link,
    Terms,
    agreement,
    clean_id,
    is_trusted,
    shown_id,
)
from share_links.tokens import (
    LONGEST_TOKEN,
    BadToken,
    key_id,
    make_key,
    read_private,
    read_public,
    sign,
    verify,
)

PRIVATE, PUBLIC = make_key()
KEY = read_private(PRIVATE)
BOOK = Launch(Content("https://github.com/earth/geo-book", "main"), target=Target(file="a.ipynb"))


def known(kid: str) -> str | None:
    return PUBLIC if kid == key_id(PUBLIC) else None


terms = st.builds(
    Terms,
    st.none() | st.integers(0, 2**40),
    st.lists(st.text(max_size=5), max_size=2).map(tuple),
    st.text(max_size=5),
    st.lists(st.text(max_size=5), max_size=2).map(tuple),
)


@given(launches, terms)
def test_what_is_signed_comes_back(launch, terms):
    try:
        token = sign(launch, KEY, terms)
    except LaunchError as error:
        assert "too much for a signed link" in str(error)
        return
    found = verify(token, known)
    assert (found.launch, found.terms, found.key) == (launch, terms, key_id(PUBLIC))


@given(st.data())
def test_an_altered_token_is_none(data):
    token = sign(BOOK, KEY, Terms(until=10))
    at = data.draw(st.integers(0, len(token) - 1))
    sign_ = data.draw(st.sampled_from("ABab01-_.=é"))
    altered = token[:at] + sign_ + token[at + 1 :]
    try:
        found = verify(altered, known)
    except BadToken:
        return
    # The last sign of each part has bits that say nothing.
    assert found == verify(token, known)


def forged(header: dict, claims: dict, key=KEY, algorithm: str = "EdDSA") -> str:
    headers = {"kid": key_id(PUBLIC), "typ": "launch+jwt", **header}
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers)


def test_no_other_key_algorithm_or_kind():
    said = {"launch": {}}
    other = read_private(make_key()[0])
    unsigned = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "none", "kid": key_id(PUBLIC), "typ": "launch+jwt"}, said)
    )
    for token in (
        forged({}, said, key=other),
        forged({"kid": "other"}, said),
        forged({"typ": "JWT"}, said),
        forged({}, said, key=PUBLIC * 2, algorithm="HS256"),
        f"{unsigned}.",
        "",
        ".",
        "a.b.c",
        "x" * (LONGEST_TOKEN + 1),
        sign(BOOK, KEY).rpartition(".")[0],
    ):
        with pytest.raises(BadToken):
            verify(token, known)
    verify(forged({}, said), known)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"launch": "x"},
        {"launch": {"target": {"file": "../x"}}},
        {"launch": {}, "exp": "tomorrow"},
        {"launch": {}, "exp": True},
        {"launch": {}, "users": "sam"},
        {"launch": {}, "aud": [1]},
        {"launch": {}, "group": ["a"]},
    ],
)
def test_what_is_signed_and_wrong_is_refused(claims):
    with pytest.raises(LaunchError):
        verify(forged({}, claims), known)


def test_keys_are_read_or_refused_in_words():
    assert key_id(f" {PUBLIC}\n") == key_id(PUBLIC)
    for read, text in ((read_public, PRIVATE), (read_private, PUBLIC), (read_public, PUBLIC[:-4])):
        with pytest.raises(LaunchError) as error:
            read(text)
        assert "begins with 'share-links-" in str(error.value)
        assert text not in str(error.value)


def test_terms():
    at, hub = 100, "https://h/"
    assert Terms().refuse("sam", [], hub, at) == ""
    assert Terms(until=100).refuse("sam", [], hub, at) == EXPIRED
    assert Terms(until=101).refuse("sam", [], hub, at) == ""
    assert Terms(hubs=("https://other/",)).refuse("sam", [], hub, at) == OTHER_HUB
    assert Terms(users=("lee",)).refuse("sam", [], hub, at) == NOT_FOR_YOU
    assert Terms(users=("lee",)).refuse("lee", [], hub, at) == ""
    assert Terms(users=("lee",), group="g").refuse("sam", ["g"], hub, at) == ""
    assert Terms(group="g").refuse("sam", ["g/h"], hub, at) == NOT_FOR_YOU
    mine = Link(SIGNED, BOOK, Terms(users=("lee",)), by="ada", revoked=False)
    assert mine.refuse("ada", [], hub, at) == ""
    gone = Link(SIGNED, BOOK, Terms(), by="ada", revoked=True)
    assert gone.refuse("sam", [], hub, at) == gone.refuse("ada", [], hub, at) == REVOKED


def test_who_is_trusted():
    link = Link(SIGNED, BOOK, by="ada")
    assert is_trusted(link, "ada", False, [])
    assert is_trusted(link, "sam", True, [])
    assert is_trusted(link, "sam", False, ["geo-101"])
    assert not is_trusted(link, "sam", False, [])
    assert not is_trusted(Link(PLAIN, BOOK), "", True, ["geo-101"])


def test_what_is_agreed_to_is_all_but_the_place():
    def about(**changes):
        return agreement(Link(PLAIN, Launch(**{"content": BOOK.content, **changes})))

    assert about() == about(target=Target(file="b.ipynb"))
    assert about() != about(content=Content("https://github.com/earth/geo-book", "other"))
    assert about() != about(group="g")
    assert about() != agreement(Link(PLAIN, Launch(BOOK.content), by="ada"))


def test_short_ids():
    assert shown_id("abcdefghjk") == "abcde-fghjk"
    assert clean_id(" ABCDE-fghjk ") == "abcdefghjk"
    for typed in ("", "abcdefghj", "abcdefghjki", "abcdefghj/", "a" * 500):
        with pytest.raises(LaunchError):
            clean_id(typed)


def test_a_link_that_is_too_long_for_a_browsers_cookie_is_not_made():
    private, _public = make_key()
    options = {f"option{n}": "x" * 100 for n in range(20)}
    with pytest.raises(LaunchError, match="too much for a signed link"):
        sign(Launch(None, Environment("small", options)), read_private(private))


def test_what_is_longer_than_any_link_is_not_looked_at():
    asked = []
    with pytest.raises(BadToken):
        verify(f"e30.{'A' * LONGEST_TOKEN}.AAAA", lambda id: asked.append(id))
    header = base64.urlsafe_b64encode(b'{"alg":"EdDSA","kid":"k","typ":"launch+jwt"}').decode()
    with pytest.raises(BadToken):
        verify(f"{header.rstrip('=')}.{'A' * LONGEST_TOKEN}.AAAA", lambda id: asked.append(id))
    assert asked == []
