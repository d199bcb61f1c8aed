"""Notices arrive by e-mail and webhook, each once; secrets stay where they are."""

from __future__ import annotations

import logging
import ssl
import subprocess
import sys
from dataclasses import replace

import pytest
from aiosmtpd.smtp import AuthResult
from certipy import Certipy
from hubs import free_port
from post import MailServer, Webhook
from threads import in_a_thread
from traitlets import TraitError
from traitlets.config import Config

from hub_groups.database import writing
from hub_groups.memberships import MANAGER
from hub_groups.store import GroupStore
from hub_quotas.config import HubQuotas
from hub_quotas.delivery import (
    Sender,
    Ways,
    recipients,
    webhook_body,
    who_answers,
    who_hears,
    who_is_told,
)
from hub_quotas.limits import parse_limit
from hub_quotas.notices import Notices, Told
from hub_quotas.policy import parse_policy
from hub_quotas.store import QuotaStore
from hub_quotas.watch import SECOND, SHARE, STOPPED, STOPS_SOON, USED_UP, Notice

START = 1_790_000_000 * SECOND
ALL = Ways("https://hooks", "smtp://mail", "hub@example.org", "{user}@example.org")
MEMBER = parse_limit("course", "member.cpu-hours", "2 per 7d then stop after 10m")
GROUP = parse_limit("course", "group.cpu-hours", "2 per 7d then stop after 10m")
IDLE = parse_limit("course", "server.idle", "1h")
SAM, ADA = ("email", "sam@example.org"), ("email", "ada@example.org")
WEBHOOK = ("webhook", "webhook")


# -- who gets what --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "user", "limit", "who"),
    [
        (SHARE, "sam", MEMBER, [SAM]),
        (STOPS_SOON, "sam", MEMBER, [SAM]),
        (USED_UP, "sam", MEMBER, [SAM, ADA]),
        (STOPPED, "sam", MEMBER, [SAM, ADA, WEBHOOK]),
        (SHARE, "", GROUP, [ADA, WEBHOOK]),
        (USED_UP, "", GROUP, [ADA, WEBHOOK]),
        (STOPS_SOON, "sam", GROUP, [SAM]),
        (STOPPED, "sam", GROUP, [SAM]),  # the others know of the group
        (STOPPED, "sam", IDLE, [SAM]),
        (STOPPED, "ada", MEMBER, [ADA, WEBHOOK]),  # once
    ],
)
def test_who_gets_what(kind, user, limit, who):
    assert recipients(Notice("stem", kind, user, "course", limit), ["ada"], ALL) == who


def test_only_the_ways_that_are_set_up():
    notice = Notice("stem", USED_UP, "", "course", GROUP)
    assert recipients(notice, ["ada"], replace(ALL, smtp_url="")) == [WEBHOOK]
    assert recipients(notice, ["ada"], replace(ALL, webhook_url="")) == [ADA]
    assert recipients(notice, ["ada"], Ways()) == []
    assert not Ways()


@pytest.mark.parametrize(
    ("user", "pattern", "address"),
    [
        ("sam", "{user}@example.org", "sam@example.org"),
        ("sam", "", ""),
        ("sam@home.example", "", "sam@home.example"),
        ("sam@home.example", "{user}@example.org", "sam@home.example"),
        ("a@b,c@d", "", ""),
        ("sam kim", "{user}@example.org", ""),
        ("sam\nBcc: kim@example.org", "", ""),
        ("<sam>", "{user}@example.org", ""),
    ],
)
def test_addresses(user, pattern, address):
    assert Ways(email_pattern=pattern).address(user) == address


def test_managers_are_those_of_the_nearest_group_that_has_any(tmp_path):
    store, groups = a_store(tmp_path), GroupStore(f"sqlite:///{tmp_path}/groups.sqlite")
    store.apply(parse_policy({"groups": {"school": {"managers": ["bob"]}}}), "ada", "test")
    groups.replace_source("test", {"school/a": {"ada": MANAGER}})
    send_to = who_is_told(store, groups, ALL)

    def told(group: str) -> list[str]:
        return [to for _, to in send_to(Notice("stem", USED_UP, "", group, GROUP))][:-1]

    assert told("school/a/b") == ["ada@example.org"]
    assert told("school/c") == ["bob@example.org"]
    assert told("other") == []
    with writing(groups.engine) as db:
        db.exec_driver_sql("DROP TABLE membership")
    assert told("school/a") == ["bob@example.org"], "what can't be read does not silence the rest"


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("webhook_url", "hooks.example.org/s3cret", "webhook_url: is an address that begins with"),
        ("smtp_url", "mail:s3cret@host:25", "smtp_url: is smtp://HOST:PORT or smtps://HOST:PORT"),
        ("smtp_url", "smtp://host:s3cret", "smtp_url: is smtp://HOST:PORT or smtps://HOST:PORT"),
        ("email_from", "me", "email_from: is an address such as"),
        ("email_pattern", "sam@example.org", "email_pattern: is an address with {user} in it"),
        ("email_pattern", "{user}", "email_pattern: is an address with {user} in it"),
    ],
)
def test_wrong_settings(setting, value, said):
    right = {"email_from": "hub@example.org"} if setting == "smtp_url" else {}
    with pytest.raises(TraitError) as caught:
        HubQuotas(config=Config(HubQuotas={**right, setting: value}))
    assert str(caught.value).startswith(f"c.HubQuotas.{said}")
    assert "s3cret" not in str(caught.value)


def test_a_mail_server_needs_a_sender():
    with pytest.raises(TraitError, match="email_from: needed where smtp_url is set"):
        HubQuotas(config=Config(HubQuotas={"smtp_url": "smtp://host"}))
    found = HubQuotas(config=Config(HubQuotas=ALL_SETTINGS))
    assert Ways(**found.ways) == ALL


ALL_SETTINGS = {
    "webhook_url": "https://hooks",
    "smtp_url": "smtp://mail",
    "email_from": "hub@example.org",
    "email_pattern": "{user}@example.org",
}


# -- sending --------------------------------------------------------------------------------------


class Clock:
    at = START

    def __call__(self) -> int:
        return self.at


def a_store(folder, clock=None) -> QuotaStore:
    return QuotaStore(f"sqlite:///{folder}/ledger.sqlite", clock=clock)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    made = a_store(tmp_path, clock)
    yield made
    made.close()


@pytest.fixture
def mail_server():
    made = []

    def start(**options) -> MailServer:
        made.append(MailServer(**options))
        return made[-1]

    yield start
    for server in made:
        server.stop()


@pytest.fixture
def webhook():
    made = Webhook()
    yield made
    made.stop()


def ways(server: MailServer, scheme: str = "smtp", login: str = "") -> Ways:
    return replace(ALL, webhook_url="", smtp_url=f"{scheme}://{login}localhost:{server.port}")


async def send_all(sender: Sender) -> None:
    while await sender.step():
        pass


@in_a_thread
async def test_an_email_to_the_user_and_one_to_the_manager(store, mail_server, clock):
    server = mail_server()
    Notices(store).tell("one", USED_UP, "sam", "geo\n101", "You have used all of it.", [SAM, ADA])
    sender = Sender(store, ways(server))
    await send_all(sender)
    (mine,), (hers,) = server.of("sam@example.org"), server.of("ada@example.org")
    assert mine["Subject"] == "JupyterHub: A budget in geo 101 is used up"
    assert (mine["From"], mine["To"]) == ("hub@example.org", "sam@example.org")
    assert mine["Date"].datetime.timestamp() == START // SECOND
    assert mine["Auto-Submitted"] == "auto-generated"
    assert mine.get_content() == "You have used all of it.\n"
    assert hers.get_content() == "sam was told: You have used all of it.\n"
    assert mine["Message-ID"] != hers["Message-ID"]
    clock.at += 3600 * SECOND
    await send_all(sender)
    assert len(server.mails) == 2, "once"


@in_a_thread
async def test_what_was_sent_but_not_marked_is_sent_again_with_the_same_id(
    store, mail_server, clock, monkeypatch
):
    server = mail_server()
    Notices(store).tell("one", SHARE, "sam", "course", "You have used 80%.", [SAM])
    sender = Sender(store, ways(server))
    with monkeypatch.context() as killed:
        killed.setattr(sender._notices, "sent", lambda _: None)
        await send_all(sender)
    clock.at += 16 * SECOND
    await send_all(sender)
    first, second = server.of("sam@example.org")
    assert first["Message-ID"] == second["Message-ID"]


@in_a_thread
async def test_it_is_sent_when_the_servers_are_back(store, mail_server, webhook, clock, caplog):
    port = free_port()
    webhook.status = 503
    Notices(store).tell("one", USED_UP, "", "course", "course has used all.", [ADA, WEBHOOK])
    mail_at = f"smtp://localhost:{port}"
    sender = Sender(store, replace(ALL, smtp_url=mail_at, webhook_url=webhook.url))
    with caplog.at_level(logging.INFO):
        await send_all(sender)
    assert "1. attempt: ConnectionRefusedError" in caplog.text
    assert "1. attempt: HTTPClientError 503" in caplog.text
    server = mail_server(port=port)
    webhook.status = 200
    clock.at += 14 * SECOND
    await send_all(sender)
    assert not server.mails
    assert not webhook.texts
    clock.at += 2 * SECOND
    await send_all(sender)
    await send_all(sender)
    assert [to for to, _ in server.mails] == ["ada@example.org"]
    assert webhook.texts == ["course has used all."]


SENDER = """
import asyncio, sys
from hub_quotas.delivery import Sender, Ways
from hub_quotas.store import QuotaStore

async def main():
    ways = Ways(smtp_url=sys.argv[2], email_from="hub@example.org")
    sender = Sender(QuotaStore(sys.argv[1]), ways)
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(15):
        await sender.step()

asyncio.run(main())
"""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_each_once_by_two_processes_at_once(database, tmp_path, mail_server, request):
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    if database == "postgresql":
        from postgres import fresh_database

        url = fresh_database(request.getfixturevalue("postgres_url"))
    server, many = mail_server(), 40
    store = QuotaStore(url)
    for number in range(many):
        Notices(store).tell(f"{number}", SHARE, "sam", "course", f"Text {number}", [SAM])
    command = [sys.executable, "-c", SENDER, url, f"smtp://localhost:{server.port}"]
    pipe = subprocess.PIPE
    senders = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    for process in senders:
        assert process.stdout.readline() == "ready\n"
    for process in senders:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in senders:
        process.communicate(timeout=60)
    texts = sorted(message.get_content() for message in server.of("sam@example.org"))
    assert texts == sorted(f"sam was told: Text {number}\n" for number in range(many))
    store.close()


# -- secrets --------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path, monkeypatch):
    """A TLS context of `localhost`, whose authority is trusted by this process."""
    made = Certipy(store_dir=str(tmp_path / "tls"))
    made.create_ca("ours")
    pair = made.create_signed_pair("localhost", "ours", alt_names=["DNS:localhost"])["files"]
    monkeypatch.setenv("SSL_CERT_FILE", made.store.get_record("ours")["files"]["cert"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair["cert"], pair["key"])
    return context


def check_password(_server, _session, _envelope, _mechanism, data):
    right = (data.login, data.password) == (b"hub@x", b"s3/cret")
    return AuthResult(success=right, handled=False)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@in_a_thread
async def test_a_password_goes_over_tls(scheme, store, mail_server, certificate):
    from_start = {"tls": certificate} if scheme == "smtps" else {"tls_context": certificate}
    # aiosmtpd does not see that a connection was TLS from its start
    server = mail_server(
        authenticator=check_password,
        auth_required=True,
        auth_require_tls=scheme == "smtp",
        **from_start,
    )
    Notices(store).tell("one", SHARE, "sam", "course", "You have used 80%.", [SAM])
    await send_all(Sender(store, ways(server, scheme, "hub%40x:s3%2Fcret@")))
    assert len(server.of("sam@example.org")) == 1


@in_a_thread
async def test_a_password_goes_nowhere_without_tls(store, mail_server, caplog):
    seen = []
    server = mail_server(
        authenticator=lambda *_: seen.append(1) or AuthResult(success=True), auth_require_tls=False
    )
    Notices(store).tell("one", SHARE, "sam", "course", "You have used 80%.", [SAM])
    await send_all(Sender(store, ways(server, login="hub%40x:s3%2Fcret@")))
    assert not server.mails
    assert not seen
    assert "not sent (email), 1. attempt: SMTPNotSupportedError" in caplog.text


@in_a_thread
async def test_a_certificate_that_nobody_vouches_for_is_not_good_enough(
    store, mail_server, certificate, caplog, monkeypatch
):
    monkeypatch.delenv("SSL_CERT_FILE")
    server = mail_server(tls=certificate)
    Notices(store).tell("one", SHARE, "sam", "course", "You have used 80%.", [SAM])
    await send_all(Sender(store, ways(server, "smtps")))
    assert not server.mails
    assert "SSLCertVerificationError" in caplog.text


@in_a_thread
async def test_no_secret_is_logged_or_stored(store, mail_server, webhook, certificate, caplog):
    server = mail_server(tls_context=certificate, authenticator=check_password)
    notices = Notices(store)
    notices.tell("one", USED_UP, "", "course", "course has used all.", [ADA, WEBHOOK])
    wrong = replace(ways(server, login="hub%40x:wr0ng@"), webhook_url=f"{webhook.url}-2")
    with caplog.at_level(logging.DEBUG):
        await send_all(Sender(store, wrong))
    assert "SMTPAuthenticationError 535" in caplog.text
    assert "HTTPClientError 404" in caplog.text
    with store.db.read() as tx:
        stored = str(tx.all("SELECT * FROM delivery"))
    for text in (caplog.text, stored, repr(wrong)):
        for secret in ("wr0ng", "s3", webhook.SECRET, "a-secret-part"):
            assert secret not in text


def test_names_can_not_call_anybody(webhook):
    told = Told(1, START, USED_UP, "", "a", "<!channel> & @here has used, says sam@home.org", None)
    assert webhook_body(told) == (
        '{"text": "&lt;!channel&gt; &amp; @\\u200bhere has used, says sam@home.org"}'
    )


def test_what_a_group_has_as_a_whole_is_answered_above_it_and_heard_of_in_it(tmp_path):
    groups = GroupStore(f"sqlite:///{tmp_path / 'groups.sqlite'}")
    managers = {"geo": "ada", "geo/101": "mara"}
    policy = parse_policy({"groups": {name: {"managers": [who]} for name, who in managers.items()}})
    assert who_answers(policy, groups, "geo/101", "group") == ("ada",)
    assert who_hears(policy, groups, "geo/101", "group") == ("mara", "ada")
    assert who_answers(policy, groups, "geo/101", "member") == ("mara",)
    assert who_hears(policy, groups, "geo/101", "member") == ("mara",)
    assert who_answers(policy, groups, "geo", "group") == (), "only admins"
    assert who_hears(policy, groups, "geo", "group") == ("ada",)
    groups.close()
