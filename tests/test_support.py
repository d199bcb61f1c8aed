"""What a request for help says, and where it goes; and the refusals that are kept for it."""

from __future__ import annotations

from datetime import timezone
from email.message import EmailMessage
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

import pytest
from ledgers import START, clock, store, url
from traitlets import TraitError
from traitlets.config import Config

from hub_groups.words import in_english, speaking
from hub_quotas.config import HubQuotas
from hub_quotas.corrections import known_as
from hub_quotas.messages import reasons
from hub_quotas.policy import parse_policy
from hub_quotas.pruning import prune
from hub_quotas.refusals import KEEP, MOST, last_refusals, note_refusal
from hub_quotas.standing import standing
from hub_quotas.support import (
    LONGEST,
    Facts,
    Refused,
    Section,
    compose,
    link,
    sections,
    subject,
    titles,
)
from hub_quotas.usage import History, Standing

__all__ = ["clock", "store", "url"]

GROUPS = {
    "course": {
        "managers": ["prof-ada"],
        "limits": {"member.servers": 1, "server.lifetime": "8h", "server.idle": "1h"},
    },
    "library": {},
    "*": {"limits": {"group.servers": 9}},
}


def facts(found: Standing, zone=timezone.utc, **more) -> Facts:
    known = {
        "versions": {"JupyterHub": "6.1.0"},
        "images": {},
        "stored": (),
        "refused": (),
        "browser": "",
        **more,
    }
    return Facts(user="sam", standing=found, hub="hub", zone=zone, **known)


def nothing() -> Standing:
    return Standing(START, (), (), History((), 0, 0))


def by_key(known: Facts) -> dict[str, str]:
    return {one.key: one.text for one in in_english(sections, known)}


def test_the_facts_are_what_the_ledger_knows(store):
    store.apply(parse_policy({"groups": GROUPS}), "tests", "tests")
    granted = store.reserve("1", "sam", "", ["course"], {"servers": 1, "cpu": 2000}, profile="gpu")
    store.start("1")
    refused = store.reserve("2", "sam", "two", ["course"], {"servers": 1})
    assert granted.granted
    note_refusal(store, "2", "sam", "two", "quota-member", in_english(reasons, refused.decisions))
    found = by_key(
        facts(
            standing(store, "sam", ["course", "library"]),
            ZoneInfo("Europe/Berlin"),
            images={"": "lab:2026"},
            stored=[("Home (homes)", "2 GiB of 10 GiB")],
            refused=[Refused(r.at, r.server, r.why) for r in last_refusals(store, "sam")],
            browser="Firefox",
        )
    )
    assert found == {
        "me": "User: sam\nGroups: course, library\nHub: hub\n"
        "Time: 2026-09-21 16:13 CEST (14:13 UTC)",
        "versions": "JupyterHub: 6.1.0",
        "servers": "Default server: gpu, lab:2026, 2 cores, charged to course, "
        "since 2026-09-21 16:13 CEST (14:13 UTC)",
        "limits": "course:\n  Servers, me: 1 of 1 server\n"
        "  Servers, the whole group (from this hub): 1 of 9 servers\n"
        "  each server that is not used for 1 h stops\n  each server runs for 8 h at most\n"
        "library:\n  Servers, the whole group (from this hub): 1 of 9 servers",
        "storage": "Home (homes): 2 GiB of 10 GiB",
        "refusals": "2026-09-21 16:13 CEST (14:13 UTC), two: course allows each member 1 server at "
        "once, and you have 1 running.",
        "browser": "Firefox",
    }
    assert list(found) == list(titles())


def test_what_there_is_nothing_of_is_left_out():
    found = by_key(facts(nothing()))
    assert list(found) == ["me", "versions", "servers"]
    assert found["me"].endswith("Time: 2026-09-21 14:13 UTC")


def test_a_group_without_limits_says_so(store):
    found = by_key(facts(standing(store, "sam", ["library"])))
    assert found["limits"] == "library:\n  no limits hold here"


def test_a_request_is_in_english_whatever_its_writer_speaks():
    parts = [Section("versions", "JupyterHub: 6.1.0\n"), Section("limits", " ")]
    text = speaking("de", lambda: in_english(compose, " Es geht nicht.\n", parts))
    assert text == "Es geht nicht.\n\nVersions:\nJupyterHub: 6.1.0"
    assert in_english(compose, "", []) == ""


def test_its_title_is_its_first_line():
    assert subject("\n  No server  \nsince today") == "No server"
    assert subject(" ") == "Help with the hub"
    assert subject("x" * 200) == "x" * 79 + "…"


TEXT = "Größe & Farbe?\n\nVersions:\n6.1 100%"


def test_a_link_to_write_an_email():
    found = link("help+hub@example.org", "A & B?", TEXT)
    assert found
    assert (found.is_mail, found.carries) == (True, "all")
    parts = urlsplit(found.address)
    assert (parts.scheme, unquote(parts.path)) == ("mailto", "help+hub@example.org")
    assert "+" not in parts.query, "which mail programs show as it is"
    said = parse_qs(parts.query)
    assert said == {"subject": ["A & B?"], "body": [TEXT.replace("\n", "\r\n")]}


def test_a_link_to_a_tracker_fills_in_both():
    form = "https://git.example.org/hub/issues/new?labels=help&title={title}&body={body}#new"
    found = link(form, "{body}", TEXT)
    assert found
    assert (found.is_mail, found.carries) == (False, "all")
    said = parse_qs(urlsplit(found.address).query)
    assert said == {"labels": ["help"], "title": ["{body}"], "body": [TEXT.replace("\n", "\r\n")]}


@pytest.mark.parametrize("contact", ["help@example.org", "https://a.example/?{title}&b={body}"])
def test_a_long_text_is_cut_at_a_line_and_that_is_said(contact):
    lines = [f"line {n} äöü" for n in range(2000)]
    found = link(contact, "t", "\n".join(lines))
    assert found
    assert found.carries == "part"
    most = LONGEST[found.address.partition(":")[0]]
    assert most - 100 < len(found.address) <= most
    body = found.address.rpartition("=")[2]
    kept = unquote(body).split("\r\n")
    assert kept == lines[: len(kept)]
    one = link(contact, "t", "x" * 10_000)
    assert one
    assert one.carries == "none"


def test_a_page_without_a_place_for_the_text_is_only_opened():
    found = link("https://help.example.org/new?title={title}", "a b", TEXT)
    assert found
    assert (found.address, found.carries) == ("https://help.example.org/new?title=a%20b", "none")
    assert link("", "a", TEXT) is None


def test_what_is_no_contact_stops_the_hub_with_a_sentence():
    good = ("", "help@example.org", "https://a.example/new?title={title}&body={body}")
    for text in good:
        assert HubQuotas(config=Config(HubQuotas={"support": f" {text}"})).support == text
    wrong = (
        *("help", "javascript:alert(1)//{body}", "ftp://a.example/{body}", "https:///x?{body}"),
        *(
            "https://a.example/?{text}",
            "https://{title}/?{body}",
            "https://a.example/{title}?{body}",
            "https://u:secret@a.example/",
        ),
        *('https://a.example/?"><b>', "https://[a.example/?{body}", "https://a.example/a b"),
    )
    for text in wrong:
        with pytest.raises(TraitError, match=r"c\.HubQuotas\.support: is an e-mail addr") as error:
            HubQuotas(config=Config(HubQuotas={"support": text}))
        assert "secret" not in str(error.value)


def test_an_email_address_can_be_what_mail_programs_take():
    message = EmailMessage()
    message["To"] = HubQuotas(config=Config(HubQuotas={"support": "help@example.org"})).support
    assert message["To"].addresses[0].domain == "example.org"


# -- what is kept of refusals --------------------------------------------------------------------


def test_the_last_few_refusals_of_each_user_are_kept(store, clock):
    for n in range(MOST + 3):
        clock.now += 1
        note_refusal(store, f"{n:02}", "sam", "", f"quota-{n}")
    note_refusal(store, "x", "kim", "a", "quota-member", "why")
    note_refusal(store, "x", "kim", "a", "quota-member", "twice")
    assert [one.code for one in last_refusals(store, "sam")] == [
        f"quota-{n}" for n in range(MOST + 2, 2, -1)
    ]
    (of_kim,) = last_refusals(store, "kim")
    assert (of_kim.at, of_kim.server, of_kim.why) == (clock.now, "a", "why")
    assert last_refusals(store, "eve") == []


def test_who_tries_on_and_on_is_kept_once_a_minute(store, clock):
    for n in range(130):
        note_refusal(store, f"{n:03}", "sam", "", "quota-member", "why")
        clock.now += 10**6
    found = last_refusals(store, "sam")
    assert [(one.at - START) // 10**6 for one in found] == [120, 60, 0]
    note_refusal(store, "a", "sam", "two", "quota-member", "why")
    note_refusal(store, "b", "sam", "two", "quota-budget", "why")
    note_refusal(store, "c", "sam", "two", "quota-budget", "else")
    assert len(last_refusals(store, "sam")) == MOST


def test_old_refusals_are_forgotten(store, clock):
    note_refusal(store, "1", "sam", "", "quota-member")
    clock.now += KEEP
    assert len(last_refusals(store, "sam")) == 1
    clock.now += 1
    assert last_refusals(store, "sam") == []
    prune(store)
    with store.db.read() as tx:
        assert tx.all("SELECT id FROM refusal") == []


def test_whoever_has_the_name_next_is_another_person(store):
    known_as(store, 1, "sam")
    note_refusal(store, "1", "sam", "", "quota-member")
    note_refusal(store, "2", "kim", "", "quota-member")
    known_as(store, 1, "kim")
    assert last_refusals(store, "sam") == last_refusals(store, "kim") == []


def test_why_says_nobody_s_name_and_gives_no_advice(store):
    store.apply(parse_policy({"groups": GROUPS}), "tests", "tests")
    store.reserve("1", "sam", "", ["course"], {"servers": 1})
    refused = store.reserve("2", "sam", "two", ["course"], {"servers": 1})
    said = speaking("de", lambda: in_english(reasons, refused.decisions))
    assert said == "course allows each member 1 server at once, and you have 1 running."
