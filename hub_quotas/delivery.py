"""Notices by e-mail and webhook: who gets which, and how they are sent.

Each is sent once. It is marked as sent after the other side has taken it, so a process that is
killed in between sends it again: an e-mail then has the same Message-ID, by which mail programs
drop the second.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import smtplib
import ssl
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from tornado.httpclient import AsyncHTTPClient

from hub_groups.store import GroupStore

from .enforcer import Recipients
from .limits import GROUP, MEMBER
from .messages import say_group
from .more import ANSWERED, ASKED
from .notices import Mail, Notices, Told
from .policy import Policy
from .storage_words import STORAGE
from .store import QuotaStore
from .transaction import LedgerError
from .watch import SHARE, STOPPED, STOPS_SOON, USED_UP, Notice

log = logging.getLogger("group-quotas")

EMAIL, WEBHOOK = "email", "webhook"

_LOOK_SECONDS = 1
_RETRY_SECONDS = 10
# Less than the 15 seconds after which a notice that was not sent is due again.
_PATIENCE_SECONDS = 10
_AT_ONCE = 4

_SUBJECTS = {
    SHARE: "A budget in {} is running out",
    USED_UP: "A budget in {} is used up",
    STOPS_SOON: "A server in {} stops soon",
    STOPPED: "A server in {} was stopped",
    ASKED: "A member of {} asks for more",
    ANSWERED: "The answer about more in {}",
    STORAGE: "Storage of {} fills up",
}
_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[\w-]+(\.[\w-]+)*")
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")

# Threads of our own: those that hang on a mail server must not be the ones that the pages need.
_threads = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="quota-mail")


@dataclass(frozen=True)
class Ways:
    """How notices are sent; empty for not at all. See `config`."""

    webhook_url: str = field(default="", repr=False)
    smtp_url: str = field(default="", repr=False)
    email_from: str = ""
    email_pattern: str = ""

    def __bool__(self) -> bool:
        return bool(self.webhook_url or self.smtp_url)

    def address(self, user: str) -> str:
        """A user's e-mail address; empty where none is known."""
        text = user if "@" in user else self.email_pattern.replace("{user}", user)
        return text if is_address(text) else ""


def is_address(text: str) -> bool:
    """Whether this is one e-mail address, and nothing else."""
    return _ADDRESS.fullmatch(text) is not None


def recipients(notice: Notice, managers: Iterable[str], ways: Ways) -> list[tuple[str, str]]:
    """Who gets a notice, as (channel, address). Pure.

    Users get their own. Managers and the webhook get what is about the whole group, and what a
    member's own budget has ended; managers also that it is used up. What a group's budget stops is
    not told them server by server, nor is what was idle.
    """
    of_group = not notice.user
    of_member = notice.limit.scope == MEMBER
    people = [notice.user] if notice.user else []
    if of_group or (of_member and notice.kind in (USED_UP, STOPPED)):
        people += managers
    return to_all(people, ways, of_group or (of_member and notice.kind == STOPPED))


def who_is_told(store: QuotaStore, groups: GroupStore, ways: Ways) -> Recipients:
    """`recipients`, with the managers that the group has now, or else the nearest above it."""

    def send_to(notice: Notice) -> list[tuple[str, str]]:
        if not ways:
            return []
        managers = managers_of(store.policy(), groups, notice.group)
        return recipients(notice, managers, ways)

    return send_to


def managers_of(policy: Policy, groups: GroupStore, group: str) -> tuple[str, ...]:
    """The managers that a group has, or else the nearest above it; none where nobody has any.
    Blocks."""
    path = policy.path(group)
    try:
        members = groups.managers(path)
    except Exception as error:  # a notice without its managers is better than none
        log.warning("The managers of %s can't be read: %s", group, type(error).__name__)
        members = {}
    for name in path:
        if found := (*members.get(name, ()), *policy.managers(name)):
            return tuple(dict.fromkeys(found))
    return ()


def who_answers(policy: Policy, groups: GroupStore, group: str, scope: str) -> tuple[str, ...]:
    """Who can give a member of a group more; empty where only admins can. What the group has as a
    whole is not theirs to give who manage it. Blocks."""
    if scope != GROUP:
        return managers_of(policy, groups, group)
    path = policy.path(group)
    return managers_of(policy, groups, path[1]) if len(path) > 1 else ()


def who_hears(policy: Policy, groups: GroupStore, group: str, scope: str) -> tuple[str, ...]:
    """Who is told that a member of a group asks for more: also those who manage it, where it is not
    theirs to give. Blocks."""
    able = who_answers(policy, groups, group, scope)
    return tuple(dict.fromkeys((*managers_of(policy, groups, group), *able)))


def to_all(people: Iterable[str], ways: Ways, webhook: bool = False) -> list[tuple[str, str]]:
    """(channel, address) of people, and of the webhook. Pure."""
    addresses = dict.fromkeys(ways.address(name) for name in people) if ways.smtp_url else {}
    found = [(EMAIL, address) for address in addresses if address]
    if webhook and ways.webhook_url:
        found.append((WEBHOOK, WEBHOOK))  # its address is a secret
    return found


# -- what is written ------------------------------------------------------------------------------


def words(told: Told, to_user: bool) -> str:
    """What stands in a message to the user, or to somebody else."""
    return told.text if to_user or not told.user else f"{told.user} was told: {told.text}"


def email(told: Told, address: str, ways: Ways) -> EmailMessage:
    """One e-mail. The same notice to the same address always has the same Message-ID."""
    message = EmailMessage()
    group = " ".join(say_group(told.group).split())
    message["Subject"] = f"JupyterHub: {_SUBJECTS[told.kind].format(group)}"
    message["From"], message["To"] = ways.email_from, address
    at = datetime.fromtimestamp(told.at // 10**6, timezone.utc)
    message["Date"] = at
    to = hashlib.sha256(address.encode()).hexdigest()[:16]
    domain = ways.email_from.rpartition("@")[2]
    message["Message-ID"] = f"<quota-notice-{told.id}-{told.at}-{to}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"  # no answers from holiday programs
    message.set_content(words(told, address == ways.address(told.user)) + "\n")
    return message


def webhook_body(told: Told) -> str:
    """JSON as Slack's incoming webhooks take it. Names in it can't call anybody."""
    text = words(told, to_user=False)
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, escaped)
    # Slack calls by `<!channel>`; what imitates Slack, by `@channel` and `@name`.
    return json.dumps({"text": re.sub(r"(?<!\w)@", "@\u200b", text)})


def say_error(error: BaseException) -> str:
    """What went wrong, without what an error may quote: an address, a password."""
    code = getattr(error, "smtp_code", None) or getattr(error, "code", None)
    if isinstance(error, OSError) and not isinstance(error, smtplib.SMTPException):
        code = error.strerror
    return f"{type(error).__name__} {code or ''}".strip()


# -- how it is sent -------------------------------------------------------------------------------


class Sender:
    """Sends what is due, of one ledger."""

    def __init__(self, store: QuotaStore, ways: Ways) -> None:
        self._notices, self._ways = Notices(store), ways

    async def step(self) -> bool:
        """Send what is due, a few at once; whether there may be more.

        Raises:
            LedgerError: what is due can't be known.
        """
        mails = await asyncio.to_thread(self._notices.to_send, _AT_ONCE)
        await asyncio.gather(*(self._send(mail) for mail in mails))
        return len(mails) == _AT_ONCE

    async def _send(self, mail: Mail) -> None:
        try:
            if mail.channel == WEBHOOK:
                await self._call(mail.notice)
            else:
                await self._mail(mail.notice, mail.address)
        except Exception as error:
            log.warning(
                "Notice %d not sent (%s), %d. attempt: %s",
                *(mail.notice.id, mail.channel, mail.attempts + 1, say_error(error)),
            )
            return
        await asyncio.to_thread(self._notices.sent, mail)
        log.info("Notice %d sent (%s)", mail.notice.id, mail.channel)

    async def _call(self, told: Told) -> None:
        await AsyncHTTPClient().fetch(
            self._ways.webhook_url,
            method="POST",
            headers={"Content-Type": "application/json"},
            body=webhook_body(told),
            connect_timeout=_PATIENCE_SECONDS / 2,
            request_timeout=_PATIENCE_SECONDS,
            follow_redirects=False,
        )

    async def _mail(self, told: Told, address: str) -> None:
        message = email(told, address, self._ways)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(_threads, send_email, self._ways.smtp_url, message)


def send_email(url: str, message: EmailMessage) -> None:
    """Hand a message to a mail server. Blocks.

    A password goes only over TLS. Certificates are checked.

    Raises:
        OSError, smtplib.SMTPException: the server was not reached, or did not take it.
    """
    server = urlsplit(url)
    host, patience = server.hostname or "", _PATIENCE_SECONDS / 2
    user, password = unquote(server.username or ""), unquote(server.password or "")
    tls = ssl.create_default_context()
    client: smtplib.SMTP
    if server.scheme == "smtps":
        client = smtplib.SMTP_SSL(host, server.port or 465, timeout=patience, context=tls)
    else:
        client = smtplib.SMTP(host, server.port or (587 if user else 25), timeout=patience)
    with client:
        client.ehlo()
        if server.scheme == "smtp" and (user or host not in _THIS_MACHINE):
            if client.has_extn("starttls"):
                client.starttls(context=tls)
            elif user:
                raise smtplib.SMTPNotSupportedError("It has no STARTTLS; the password stays here.")
        if user:
            client.login(user, password)
        client.send_message(message)


async def keep_sending(sender: Sender) -> None:
    """Until cancelled."""
    while True:
        pause: float = _LOOK_SECONDS
        try:
            if await sender.step():
                pause = 0
        except LedgerError as error:
            log.warning("Notices can't be sent now, trying again: %s", error)
            pause = _RETRY_SECONDS
        except Exception:
            log.exception("Notices can't be sent now, trying again")
            pause = _RETRY_SECONDS
        await asyncio.sleep(pause)
