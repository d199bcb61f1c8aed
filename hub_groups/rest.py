"""REST addresses that are declared once: what is declared is checked, answered and documented.

An `Operation` says its address, who may, and what comes in and goes out as Pydantic models. From
that come the handlers here and the document of `openapi`. What goes wrong is answered as
problem details (RFC 9457).
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tornado import web

from .web import Routes, TooFast, Visit
from .words import _

PROBLEM = "application/problem+json"
LARGEST_BODY = 1_000_000
"""Bytes."""


class Model(BaseModel):
    """What comes in or goes out: nothing else than what is declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Model):
    """No parameters."""


class Page(Model):
    """Which part of a list."""

    offset: int = Field(0, ge=0, le=10**9, description="How many to leave out")
    limit: int = Field(50, ge=1, le=200, description="How many at most")


class Problem(Model):
    """What went wrong (RFC 9457)."""

    type: str = Field("about:blank", description="What kind of problem, where there is more to say")
    title: str = Field(description="The kind in a few words")
    status: int = Field(description="The HTTP status")
    detail: str = Field(description="What was wrong, where, and what would be right")
    reason: str = Field("", description="A word for programs, where the status does not say it")


class Refusal(Exception):
    """An answer that is not a success.

    Attributes:
        reason: a word for programs, where the status does not say it.
    """

    def __init__(self, status: int, detail: str, reason: str = "") -> None:
        super().__init__(detail)
        self.status, self.detail, self.reason = status, detail, reason


@dataclass(frozen=True)
class Raw:
    """An answer that is not JSON: a file."""

    content: str | IO[bytes]
    kind: str
    name: str = ""


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked for.

    Attributes:
        path: below the API, with `{NAME}` for its parts.
        who: who may, in the words of the package's own check.
        run: `run(handler, query, body)`; the parts of the path are `handler.part`.
        query, body: what comes in.
        answer: what goes out; None for nothing (204). A string is the type of a file.
        status: of a success.
        problems: statuses that it can be refused with, beyond those that any can.
        tag: under which it is documented.
    """

    method: str
    path: str
    who: Any
    summary: str
    run: Callable[..., Any]
    answer: Any = None
    query: type[Model] = Nothing
    body: type[Model] | None = None
    status: int = 200
    problems: tuple[int, ...] = ()
    tag: str = ""
    about: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    """Descriptions of the parts of the path."""
    read: Callable[[bytes], Any] | None = None
    """How a body is read, where that says better what is wrong than its model would."""

    @property
    def needs_body(self) -> bool:
        """Whether there is something that a body has to say."""
        fields = self.body.model_fields.values() if self.body else ()
        return any(field.is_required() for field in fields)

    @property
    def id(self) -> str:
        """`get_groups_group`."""
        return "_".join([self.method.lower(), *re.findall(r"\w+", self.path)])


class Rest(Visit):
    """The handler of one address. Packages put their own over it."""

    operations: dict[str, Operation] = {}  # by method

    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.set_header("Cache-Control", "no-store")

    async def prepare(self) -> None:
        self.part: dict[str, str] = {n: str(value) for n, value in self.path_kwargs.items()}
        operation = self.operations.get(self.request.method or "")
        if operation is None:
            raise Refusal(405, _("That can't be done with what is at this address."))
        self.operation = operation
        try:
            await super().prepare()
        except web.HTTPError as error:
            if error.status_code < 500:
                raise
            raise Refusal(503, _("The hub can't be asked now who you are.")) from None
        if not self.current_user:
            if await self.hub_auth.get_user(self, sync=False):  # the hub knows it, from the cache
                scope = f"access:services!service={self.context.name}"
                text = _("This token may not ask anything here: it needs the scope {scope}.")
                raise Refusal(403, text.format(scope=scope))
            raise Refusal(401, _("Send a token of this hub as 'Authorization: token ...'."))
        await self.check(operation.who)

    async def check(self, who: Any) -> None:
        """Whether whoever asks may; raises Refusal. For packages to say."""
        raise NotImplementedError

    async def _answer(self, **_parts: str) -> None:
        operation = self.operation
        query = operation.query.model_validate(self._query(operation.query))
        body = None
        if operation.read:
            body = operation.read(self._body())
        elif operation.body:
            sent = self._body() or (b"" if operation.needs_body else b"{}")
            body = operation.body.model_validate_json(sent, strict=True)
        found = operation.run(self, query, body)
        if inspect.isawaitable(found):
            found = await found
        self.set_status(operation.status if found is not None else 204)
        if found is None:
            self.clear_header("Content-Type")
            self.finish()
        elif isinstance(found, Raw):
            await self.send(found.content, found.kind, found.name)
        else:
            self.finish(found.model_dump_json(by_alias=True))

    get = post = put = patch = delete = _answer

    def _body(self) -> bytes:
        if len(self.request.body) > LARGEST_BODY:
            raise Refusal(413, _("That is too large."))
        return self.request.body

    def _query(self, model: type[Model]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, values in self.request.query_arguments.items():
            known = model.model_fields.get(name)
            texts = [_text(value) for value in values]
            several = known is not None and "list" in str(known.annotation).lower()
            found[name] = texts if several else texts[-1]
        return found

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        status, detail, reason = self.explain(error, status_code)
        if status == 500:
            detail = _("Something went wrong here. The log of the hub's pages says what.")
        self.set_status(status)
        self.set_header("Content-Type", PROBLEM)
        if status == 401:
            self.set_header("WWW-Authenticate", "Bearer")
        if status == 405:
            self.set_header("Allow", ", ".join(sorted(self.operations)))
        if isinstance(error, TooFast):
            self.set_header("Retry-After", str(error.seconds))
        title = HTTPStatus(status).phrase
        problem = Problem(
            type="about:blank", title=title, status=status, detail=detail, reason=reason
        )
        self.finish(problem.model_dump_json(exclude_defaults=True))

    def explain(self, error: BaseException | None, status: int) -> tuple[int, str, str]:
        """Status, words and reason of what went wrong. Packages add their own errors."""
        if isinstance(error, Refusal):
            return error.status, error.detail, error.reason
        if isinstance(error, ValidationError):
            return 400, _say_invalid(error), ""
        if isinstance(error, web.HTTPError):
            return status, error.log_message or self._reason, ""
        return 500, "", ""

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if self.explain(value, 500)[0] >= 500:
            super().log_exception(typ, value, tb)


def routes(
    prefix: str, operations: Iterable[Operation], handler: type[Rest], shared: dict[str, Any]
) -> Routes:
    """The handlers of operations, one for each address.

    Args:
        prefix: of the API, such as `/services/quotas/api`.
        handler: the package's own, with its `check`.
    """
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    found: Routes = []
    # Some proxies turn %2F into a slash. So a group's name takes all that is there, and the longer
    # addresses come first.
    for path, of_path in sorted(by_path.items(), key=lambda item: -item[0].count("/")):
        pattern = re.escape(path).replace(r"\{group\}", "(?P<group>.+)")
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", pattern)
        found.append(
            (prefix + pattern, type("Address", (handler,), {"operations": of_path}), shared)
        )
    return found


class NoSuchAddress(Rest):
    """Any other address of an API."""

    async def prepare(self) -> None:
        raise Refusal(404, _("There is nothing at this address."))


def paged(items: Sequence[Any], offset: int, limit: int) -> tuple[Sequence[Any], int | None]:
    """Some of many, and the offset of what follows; None where nothing does."""
    end = offset + limit
    return items[offset:end], end if end < len(items) else None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _say_invalid(error: ValidationError) -> str:
    """The first of what is wrong with what came in."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}." if place else f"{first['msg']}."


def dump(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False)
