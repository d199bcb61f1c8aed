"""The OpenAPI document of declared operations, and a page that shows it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic.json_schema import models_json_schema
from tornado import web

from . import rest
from .rest import PROBLEM, Model, Nothing, Operation, Problem
from .web import Context, Page, Routes

_REF = "#/components/schemas/{model}"
_ANY = (401, 403, 503)
"""Statuses that every operation can answer with."""


def document(
    operations: Iterable[Operation],
    title: str,
    version: str,
    about: str,
    server: str,
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """An OpenAPI 3.1 document.

    Args:
        server: where the API is, such as `/services/quotas/api`.
        tags: what each tag of operations is about.
    """
    operations = list(operations)
    models: list[tuple[type[Model], Any]] = [(Problem, "serialization")]
    for operation in operations:
        if operation.body:
            models.append((operation.body, "validation"))
        if isinstance(operation.answer, type):
            models.append((operation.answer, "serialization"))
    names, schemas = models_json_schema(list(dict.fromkeys(models)), ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        of_path = paths.setdefault(operation.path, {})
        of_path[operation.method.lower()] = _operation(operation, names)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": about},
        "servers": [{"url": server}],
        "tags": [{"name": name, "description": text} for name, text in tags.items()],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the hub, of a user or a service.",
                }
            },
        },
    }


def _operation(operation: Operation, names: Mapping[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*_path_parameters(operation), *_query_parameters(operation.query)],
        "responses": _responses(operation, names),
    }
    if operation.about:
        found["description"] = operation.about
    if operation.body:
        schema = names[operation.body, "validation"]
        found["requestBody"] = {
            "required": operation.needs_body,
            "content": {"application/json": {"schema": schema}},
        }
    return found


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": operation.parts.get(name, ""),
            "schema": {"type": "string", "minLength": 1},
        }
        for name in re.findall(r"{(\w+)}", operation.path)
    ]


def _query_parameters(model: type[Model]) -> list[dict[str, Any]]:
    if model is Nothing:
        return []
    schema = model.model_json_schema()
    required = schema.get("required", [])
    found = []
    for name, field in schema.get("properties", {}).items():
        about = field.pop("description", "")
        field.pop("title", None)
        found.append(
            {
                "name": name,
                "in": "query",
                "required": name in required,
                "description": about,
                "schema": field,
            }
        )
    return found


def _responses(operation: Operation, names: Mapping[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if operation.answer is None:
        found["204"] = {"description": "Done."}
    elif isinstance(operation.answer, str):
        content = {operation.answer: {"schema": {"type": "string"}}}
        found[str(operation.status)] = {"description": "A file.", "content": content}
    else:
        schema = names[operation.answer, "serialization"]
        content = {"application/json": {"schema": schema}}
        found[str(operation.status)] = {"description": "Done.", "content": content}
    problem = {PROBLEM: {"schema": names[Problem, "serialization"]}}
    statuses = {*_ANY, *operation.problems}
    if operation.body or operation.query is not Nothing or "{" in operation.path:
        statuses |= {400}
    if operation.body:
        statuses |= {413}
    if operation.method != "GET":
        statuses |= {429}
    for status in sorted(statuses):
        phrase = HTTPStatus(status).phrase
        found[str(status)] = {"description": phrase, "content": problem}
    return found


def resolved(schema: Any, schemas: Mapping[str, Any]) -> Any:
    """A schema without references, for a page to show."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return resolved(schemas[schema["$ref"].rpartition("/")[2]], schemas)
        return {key: resolved(value, schemas) for key, value in schema.items()}
    if isinstance(schema, list):
        return [resolved(item, schemas) for item in schema]
    return schema


def fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(name, type, description) of what an object has, for a page to show."""
    whole = resolved(schema, schemas)
    required = whole.get("required", [])
    found = []
    for name, field in whole.get("properties", {}).items():
        kind = say_type(field) + ("" if name in required else ", optional")
        found.append((name, kind, field.get("description", "")))
    return found


def say_type(schema: Mapping[str, Any]) -> str:
    """`string`, `list of objects`, `integer or null`."""
    if "anyOf" in schema:
        return " or ".join(say_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {say_type(schema.get('items', {}))}s"
    return str(schema.get("type", "anything"))


class ReferencePage(Page):
    """The document for people."""

    def initialize(self, context: Any, document: dict[str, Any]) -> None:  # type: ignore[override]
        super().initialize(context)
        self.document = document

    async def get(self) -> None:
        schemas = self.document["components"]["schemas"]
        self.show(
            "reference.html",
            document=self.document,
            fields=lambda schema: fields(schema, schemas),
            say_type=say_type,
        )


class DocumentFile(web.RequestHandler):
    """The document for programs. It says nothing of this hub, so anybody may read it."""

    def initialize(self, document: dict[str, Any]) -> None:
        self.document = document

    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(rest.dump(self.document))


def routes(
    context: Context,
    known: dict[str, Any],
    operations: Iterable[Operation],
    handler: type[rest.Rest],
    shared: dict[str, Any],
) -> Routes:
    """The handlers of an API, its document and its reference.

    Args:
        known: its document.
        shared: what every handler gets.
    """
    api = f"{context.prefix}api"
    return [
        (f"{api}/openapi.json", DocumentFile, {"document": known}),
        (f"{api}/?", ReferencePage, {"context": context, "document": known}),
        *rest.routes(api, operations, handler, shared),
    ]
