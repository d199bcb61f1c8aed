"""A refusal whose words reach the user on every path that JupyterHub has, on 5.5 and 6."""

from __future__ import annotations

import html
import logging
from collections.abc import Sequence
from typing import Any

from jupyterhub.metrics import metrics_prefix
from prometheus_client import Counter
from tornado import web

from hub_groups.attach import HUB_MAJOR

_Base: Any
if HUB_MAJOR >= 6:
    from jupyterhub.spawner import SpawnException

    _Base = SpawnException
else:
    _Base = web.HTTPError


class Refused(_Base):
    """No server, and why.

    The hub takes the words from different attributes on the error page, above the spawn form, in
    the progress stream and in the API; all are set here.

    Args:
        text: what the user is told.
        links: address and words of each link that goes with it.
        reason: a short stable code, for the HTTP reason phrase, logs and metrics.
        status: the HTTP status.
    """

    def __init__(
        self,
        text: str,
        links: Sequence[tuple[str, str]] = (),
        reason: str = "quota",
        status: int = 403,
    ) -> None:
        message = in_html(text, links)
        if HUB_MAJOR >= 6:
            super().__init__(text, reason=reason, message_html=message, status_code=status)
        else:
            super().__init__(status, "%s", text, reason=reason)
        self._reason = reason
        self.jupyterhub_message = text
        self.jupyterhub_html_message = message

    @property
    def reason(self) -> str:
        return self._reason

    @reason.setter
    def reason(self, value: str) -> None:
        """5.5 sets "error" on every exception of a spawn; ours keeps its code."""

    def __str__(self) -> str:
        return self.jupyterhub_message


def in_html(text: str, links: Sequence[tuple[str, str]]) -> str:
    """In the size of a page's text: the hub's error page would have it as large as a heading."""
    shown = " · ".join(
        f'<a href="{html.escape(address)}">{html.escape(words)}</a>' for address, words in links
    )
    message = f'<span class="d-block fs-6 quota-refusal">{html.escape(text)}</span>'
    return f'{message} <span class="d-block fs-6">{shown}</span>' if shown else message


REASONS = {
    "quota-server": "it is larger than one server may be",
    "quota-member": "its owner has as much running as a member of the group may have",
    "quota-group": "the group that would be charged has as much running as it may have",
    "quota-ancestor": "a group above that one has as much running as it may have",
    "quota-budget": "nothing is left of a budget",
    "quota-choice": "its owner is not in the group that was chosen, or chose what there is not",
    "quota-pod": "its pod asks for something else in the end, and that does not fit",
    "quota-request": "what it asks for can't be understood",
    "quota-stopped": "it was stopped while it started",
    "quota-ledger": "the ledger can't be reached",
}
"""Every code of a refusal, for logs, metrics and programs, with what it is for."""

REFUSALS = Counter(
    "quota_refusals",
    "Servers that were refused, by the code of the reason",
    ["reason"],
    namespace=metrics_prefix,
)
"""Among the hub's own metrics. 5.5 has no reasons in those of its own."""


def uncount(spawner: Any) -> None:
    """Keep a refusal out of the hub's count of spawn failures; call just before raising it.

    At `consecutive_failure_limit` the hub exits, on 5.5 for any exception. The hub's own callback
    that counts is registered before our code runs, so ours follows it at once.
    """
    spawner.consecutive_failure_limit = 0  # of this object only, and silences a warning on 6
    handler, future = spawner.handler, spawner._spawn_future
    if HUB_MAJOR >= 6 or handler is None or future is None:
        return

    def take_back(_: Any) -> None:
        counted = handler.settings.get("failure_count", 0)
        handler.settings["failure_count"] = max(0, counted - 1)

    future.add_done_callback(take_back)


class _OneLine(logging.Filter):
    """A refusal is one line in the hub's log, not a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Refused):
            record.msg, record.args = f"{record.getMessage()}: {error}", ()
            record.exc_info = None
            record.levelno, record.levelname = logging.INFO, "INFO"
        elif record.exc_info == (None, None, None):  # 5.5 logs these as "NoneType: None"
            record.exc_info = None
        return True


_one_line = _OneLine()


def quiet_logs() -> None:
    """Log refusals as one line each. A second call changes nothing."""
    for name in ("JupyterHub", "tornado.application", "asyncio"):
        logging.getLogger(name).addFilter(_one_line)
