"""Looking at a hub from its own machine, without a token and without changing anything."""

from __future__ import annotations

import json
import smtplib
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from .database_look import look
from .doctor_config import Read, read_config
from .doctor_facts import Answer, Class, Facts, Pages, Running
from .doctor_process import Started

PATIENCE = 4
"""Seconds to wait for an answer from the network."""

_AT_ONCE = 12
_LONGEST = 64 * 1024
_LOCAL = ("127.0.0.1", "localhost", "::1")


def examine(hub: Started, public: str = "") -> Facts:
    """All that can be found out. Blocks, for some ten seconds where nothing answers.

    Args:
        hub: how it is started.
        public: the hub's address, as browsers see it; "" for what the configuration says.
    """
    read = read_config(hub)
    facts = Facts(read.config, read.version, read.jupyterhub)
    if read.config.problem:
        return facts
    given = urlsplit(public)
    fronts = (f"{given.scheme}://{given.netloc}",) if public else read.fronts
    host = "" if public else read.host  # a name that browsers use leads to the hub by itself
    api = f"{read.base_url}hub/api/"
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        hubs = {url: threads.submit(_ask, url, api) for url in read.hub_urls}
        told = {url: threads.submit(_ask, url, api + read.state) for url in read.hub_urls}
        fronted = {url: threads.submit(_ask, url, api, host) for url in fronts}
        mail = threads.submit(_mail_problem, read.smtp_url)
        databases = tuple(threads.map(look, read.places))
        answers = {url: _is_hub(*answer.result()) for url, answer in hubs.items()}
        url = _first_hub(answers)
        seen = {url: _is_hub(*answer.result()) for url, answer in fronted.items()}
        front = _first_hub(seen) or (fronts[0] if public or read.sure else "")
        running = _running(*told[url].result()) if url else None
        if running:
            running = replace(running, pages=_look_at(running.pages, read, front, threads))
        url = url or next(iter(answers), "")
        return replace(
            facts,
            config=replace(read.config, mail_problem=mail.result()),
            databases=databases,
            hub_url=url and f"{url}{read.base_url}hub/",
            hub=answers.get(url),
            running=running,
            public=front and f"{front}{read.base_url}",
            front=seen.get(front),
        )


def _first_hub(answers: Mapping[str, Answer]) -> str:
    return next((url for url, answer in answers.items() if answer.right), "")


# -- HTTP -----------------------------------------------------------------------------------------


class _Stay(urllib.request.HTTPRedirectHandler):
    """Where something leads elsewhere, it is not what was looked for."""

    def redirect_request(self, *_args: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    # Nothing secret is sent, and 127.0.0.1 is in no certificate: it is asked who is there.
    anyone = ssl.create_default_context()
    anyone.check_hostname = False
    anyone.verify_mode = ssl.CERT_NONE
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), _Stay, urllib.request.HTTPSHandler(context=anyone)
    )


def _ask(url: str, path: str, host: str = "") -> tuple[Answer, Mapping[str, str], bytes]:
    request = urllib.request.Request(url + path)  # noqa: S310 - http or https, by `_reached`
    if host:
        request.add_header("Host", host)
    try:
        try:
            with _opener().open(request, timeout=PATIENCE) as response:
                body = response.read(_LONGEST)
        except urllib.error.HTTPError as error:
            with error as response:
                body = b""
    except (OSError, ValueError, urllib.error.URLError) as error:  # also what is no HTTP
        why = getattr(error, "reason", error)
        return Answer(why=str(getattr(why, "strerror", None) or why).strip(".")), {}, b""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status, ahead=_ahead(headers.get("date", ""))), headers, body


def _ahead(date: str) -> float | None:
    """By the header Date, which tells whole seconds."""
    try:
        return parsedate_to_datetime(date).timestamp() + 0.5 - time.time()
    except (TypeError, ValueError):
        return None


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_hub(answer: Answer, _headers: Mapping[str, str], body: bytes) -> Answer:
    return replace(answer, right=answer.status == 200 and "version" in _document(body))


# -- what the hub says ----------------------------------------------------------------------------


def _running(_answer: Answer, _headers: Mapping[str, str], body: bytes) -> Running | None:
    told = _document(body)
    if "packages" not in told:
        return None
    return Running(
        told["version"],
        told["jupyterhub"],
        told["since"],
        tuple(told["packages"]),
        _class(told["spawner"]),
        _class(told["authenticator"]),
        tuple(_page(name, page) for name, page in told["pages"].items()),
    )


def _class(told: Mapping[str, Any]) -> Class:
    return Class(told["name"], told["ours"], tuple(told["skipped"]))


def _page(name: str, told: Mapping[str, Any]) -> Pages:
    return Pages(name, told["url"], told["open"], host=urlsplit(told["host"]).netloc)


def _look_at(
    pages: Sequence[Pages], read: Read, front: str, threads: ThreadPoolExecutor
) -> tuple[Pages, ...]:
    def asked(one: Pages, url: str, host: str = "") -> Future[Answer]:
        path = f"{read.base_url}services/{one.name}/static/group-quotas.css"
        return threads.submit(lambda: _is_ours(*_ask(url, path, host)))

    direct = {one: [asked(one, url) for url in _where(one.url)] for one in pages if one.url}
    public = {one: asked(one, front, one.host) for one in direct if front}
    return tuple(
        replace(
            one,
            direct=_first_right([answer.result() for answer in direct[one]]),
            public=public[one].result() if front else None,
        )
        if one in direct
        else one
        for one in pages
    )


def _where(url: str) -> list[str]:
    """From this machine. A network policy may keep the hub from its own address, and that is no
    harm."""
    parts = urlsplit(url)
    here = parts._replace(netloc=f"127.0.0.1:{parts.port or 80}").geturl()
    return [url] if parts.hostname in _LOCAL else [url, here]


def _first_right(answers: Sequence[Answer]) -> Answer:
    return next((answer for answer in answers if answer.right), answers[0])


def _is_ours(answer: Answer, headers: Mapping[str, str], _body: bytes) -> Answer:
    right = answer.status == 200 and headers.get("content-type", "").startswith("text/css")
    return replace(answer, right=right)


# -- mail -----------------------------------------------------------------------------------------


def _mail_problem(url: str) -> str:
    """Why a mail server can't be used; nobody logs in there, and nothing is sent."""
    if not url:
        return ""
    server = urlsplit(url)
    host = server.hostname or ""
    try:
        if server.scheme == "smtps":
            tls = ssl.create_default_context()
            smtplib.SMTP_SSL(host, server.port or 465, timeout=PATIENCE, context=tls).close()
        else:
            port = server.port or (587 if server.username else 25)
            smtplib.SMTP(host, port, timeout=PATIENCE).close()
    except (OSError, smtplib.SMTPException) as error:
        return str(getattr(error, "strerror", None) or error).strip(".")
    return ""
