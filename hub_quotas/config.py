"""The settings of hub_quotas, as `c.HubQuotas.NAME` in the hub's configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.app import JupyterHub
from traitlets import Bool, Dict, Enum, Float, List, TraitError, Unicode, Union, validate
from traitlets.config import Configurable

from hub_groups.config import DatabaseUrl
from hub_groups.database import default_url

from .files import FileError, read_policy
from .limits import PolicyError
from .menu import ADMINS, USERS
from .policy import Policy, parse_policy
from .requests import GUARANTEE, LIMIT, Amounts, Request
from .store import QuotaStore, open_store
from .support import ContactError, checked_contact
from .windows import WindowError, read_zone

REFUSE, ALLOW, CLAMP = "refuse", "allow", "clamp"


class HubQuotas(Configurable):
    """Quotas per group."""

    db_url = DatabaseUrl(
        help="""
        Database for limits and the ledger, as an SQLAlchemy URL: SQLite, or PostgreSQL as
        `postgresql+psycopg://...` (install `jupyterhub-group-quotas[postgres]`).

        Default: the SQLite file `hub_quotas.sqlite` beside the hub's own database.
        """
    ).tag(config=True)

    policy = Union(
        [Dict(), Unicode()],
        help="""
        A policy (groups, plans, prices), or the name of a file with one, in YAML or JSON.

        It is read each time the hub starts. What it names is changed nowhere else: the pages show
        it with the file's name. What it does not name can still be set in the browser. A policy
        that can't be read stops the hub with a sentence that says what is wrong.
        """,
    ).tag(config=True)

    hub_name = Unicode(
        "hub",
        help="""
        The name of this hub in the ledger. Hubs that share a ledger need different names.
        """,
    ).tag(config=True)

    time_zone = Unicode(
        "UTC",
        help="""
        The time zone in which days, weeks, months and quarters begin, such as `Europe/Berlin`.
        """,
    ).tag(config=True)

    currency = Unicode(
        help="""
        What stands behind amounts of money on the pages: `€`, `USD`. Prices are in that currency.
        """,
    ).tag(config=True)

    charged = Enum(
        [GUARANTEE, LIMIT],
        GUARANTEE,
        help="""
        What budgets count of CPU and memory: the guarantee of a server where it has one, or its
        limit.
        """,
    ).tag(config=True)

    capped = Enum(
        [LIMIT, GUARANTEE],
        LIMIT,
        help="""
        What caps count of CPU and memory: the limit of a server, or its guarantee where it has one.
        """,
    ).tag(config=True)

    on_excess = Enum(
        [REFUSE, CLAMP],
        REFUSE,
        help="""
        What happens to a server that asks for more than each server may have: it is refused with
        what would fit, or it is started with that much (`clamp`).
        """,
    ).tag(config=True)

    on_outage = Enum(
        [REFUSE, ALLOW],
        REFUSE,
        help="""
        What happens to a start while the ledger's database can't be reached: it is refused, or it
        is allowed and recorded when the database is back.
        """,
    ).tag(config=True)

    size_claims = Bool(
        True,
        help="""
        Whether KubeSpawner's new claims are as large as the `member.storage` of their owner, where
        there is one. Else, and without such a limit, `storage_capacity` says how large they are.
        """,
    ).tag(config=True)

    warn_at = List(
        Float(min=0, max=1),
        [0.8, 0.95],
        help="""
        The shares of a budget at whose use its users and managers are warned.
        """,
    ).tag(config=True)

    webhook_url = Unicode(
        help="""
        Where notices about groups, and of servers that were stopped, are posted for managers: an
        incoming webhook of Slack, or of something that takes the same. It is kept secret.
        """
    ).tag(config=True)

    smtp_url = Unicode(
        help="""
        The mail server by which users and managers get their notices:
        `smtp://user:password@mail.example.org:587`, or `smtps://` for TLS from the start. In user
        and password, `@`, `:` and `/` are written `%40`, `%3A` and `%2F`. Needs `email_from`.

        A password is sent only over TLS, with a certificate that is valid.
        """
    ).tag(config=True)

    email_from = Unicode(
        help="""
        The address that notices by e-mail come from.
        """
    ).tag(config=True)

    email_pattern = Unicode(
        help="""
        How user names become e-mail addresses, such as `{user}@example.org`. Names with an `@` are
        addresses already. Users without an address get no e-mail.
        """
    ).tag(config=True)

    metrics_per_user = Bool(
        False,
        help="""
        Whether the metrics for Prometheus say of each user who has a server what they use. Their
        names are then in Prometheus, for as long as it keeps what it was told.
        """,
    ).tag(config=True)

    support = Unicode(
        help="""
        Where requests for help go that users make at `/services/quotas/help`: an e-mail address, or
        the address of a page. In the address of an issue tracker, `{title}` and `{body}` stand for
        what is filled in: `https://git.example.org/hub/issues/new?title={title}&body={body}`.

        Without it, users are told who manages their groups, and copy the text.
        """
    ).tag(config=True)

    menu_for = Enum(
        [USERS, ADMINS],
        USERS,
        help="""
        Who sees all plans and prices at `/services/quotas/menu`: everybody who has a login
        (`users`), or only admins and those who read all quotas (`admins`).
        """,
    ).tag(config=True)

    @validate("support")
    def _usable_contact(self, proposal):  # type: ignore[no-untyped-def]
        try:
            return checked_contact(proposal["value"].strip(), _is_address)
        except ContactError as error:
            raise TraitError(f"c.HubQuotas.support: {error}") from None

    @validate("webhook_url")
    def _usable_webhook(self, proposal):  # type: ignore[no-untyped-def]
        return _checked(
            "webhook_url",
            proposal["value"],
            lambda url: _has_host(url, "https", "http"),
            "is an address that begins with https:// or http://.",
        )

    @validate("smtp_url")
    def _usable_mail_server(self, proposal):  # type: ignore[no-untyped-def]
        if proposal["value"] and not self.email_from:
            raise TraitError("c.HubQuotas.email_from: needed where smtp_url is set.")
        return _checked(
            "smtp_url",
            proposal["value"],
            lambda url: _has_host(url, "smtp", "smtps"),
            "is smtp://HOST:PORT or smtps://HOST:PORT, or with USER:PASSWORD@ before HOST.",
        )

    @validate("email_from")
    def _usable_sender(self, proposal):  # type: ignore[no-untyped-def]
        return _checked(
            "email_from", proposal["value"], _is_address, "is an address such as hub@example.org."
        )

    @validate("email_pattern")
    def _usable_pattern(self, proposal):  # type: ignore[no-untyped-def]
        return _checked(
            "email_pattern",
            proposal["value"],
            lambda text: text.count("{user}") == 1 and _is_address(text.replace("{user}", "sam")),
            "is an address with {user} in it, such as {user}@example.org.",
        )

    @validate("time_zone")
    def _known_zone(self, proposal):  # type: ignore[no-untyped-def]
        try:
            read_zone(proposal["value"])
        except WindowError as error:
            raise TraitError(f"c.HubQuotas.time_zone: {error}") from None
        return proposal["value"]

    @validate("policy")
    def _readable_policy(self, proposal):  # type: ignore[no-untyped-def]
        try:
            _policy(proposal["value"])
        except (FileError, PolicyError) as error:
            raise TraitError(f"c.HubQuotas.policy: {error}") from None
        return proposal["value"]

    @property
    def ways(self) -> dict[str, str]:
        """How notices are sent, for `delivery.Ways`."""
        names = ("webhook_url", "smtp_url", "email_from", "email_pattern")
        return {name: getattr(self, name) for name in names}

    def store(self) -> QuotaStore:
        """The one store of this process, in which the configured policy holds.

        Raises:
            LedgerError: the database can't be reached. The next call tries again.
        """
        store = open_store(self.db_url, read_zone(self.time_zone), self.hub_name)
        if not self._applied:
            here = (
                "" if self.hub_name == type(self).hub_name.default_value else f" of {self.hub_name}"
            )
            store.manage(_policy(self.policy), f"{self.policy_source}{here}")
            self._applied = True
        return store

    policy_source = "jupyterhub_config.py"
    """The file that says the policy, as people know it."""
    _applied = False

    def request(self, limits: Amounts, guarantees: Amounts) -> Request:
        """What a server asks for, counted as this hub does."""
        return Request(limits, guarantees, self.charged, self.capped, self.on_excess == CLAMP)


def _policy(value: Any) -> Policy:
    return (
        read_policy(Path(value)) if isinstance(value, str) and value else parse_policy(value or {})
    )


def _checked(name: str, value: str, is_right: Callable[[str], bool], what: str) -> str:
    """Never says the value: it may be a secret."""
    if value and not is_right(value):
        raise TraitError(f"c.HubQuotas.{name}: {what}")
    return value


def _is_address(text: str) -> bool:
    from .delivery import is_address  # all that sends, which few hubs need at their start

    return is_address(text)


def _has_host(url: str, *schemes: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number
        return False


def settings(app: JupyterHub) -> HubQuotas:
    """What the hub's configuration says, with the defaults filled in."""
    found = HubQuotas(config=app.config)
    found.db_url = found.db_url or default_url(app.db_url, "hub_quotas.sqlite")
    named = found.policy if isinstance(found.policy, str) else app.config_file
    found.policy_source = Path(named).name or found.policy_source
    return found
