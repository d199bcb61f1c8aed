"""What a Kubernetes API server makes of an object before it stores it: its checks and its defaults.

Pure functions over plain dictionaries. They say what a JSON schema can't: that a quantity, a name
or a label is well-formed, and that a request is not above its limit.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9](-?[a-z0-9])*")
WORD = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
ENVIRONMENT_NAME = re.compile(r"[ -<>-~]+")
QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?", re.ASCII)

DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
STANDARD = {"cpu", "memory", "ephemeral-storage"}
ACCESS_MODES = {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"}
ANNOTATIONS_BYTES = 256 * 1024


@dataclass(frozen=True)
class Problem:
    field: str
    why: str

    def __str__(self) -> str:
        return f"{self.field}: {self.why}"


# -- quantities -------------------------------------------------------------------------------


def quantity(value: Any) -> Decimal:
    """The number that a quantity stands for; ValueError where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is no quantity")
    match = QUANTITY.fullmatch(str(value))
    if not match:
        raise ValueError(f"{value!r} is no quantity")
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix in BINARY:
        return number * 1024 ** BINARY[suffix]
    exponent = DECIMAL[suffix] if suffix in DECIMAL else int(suffix[1:])
    return number.scaleb(exponent)


def canonical(value: Any) -> str:
    """As the API server writes it: no fraction, the largest suffix that allows that."""
    number = quantity(value)
    if number == 0:
        return "0"
    if str(value).endswith("i") and number == int(number) and number % 1024 == 0:
        power = max(p for p in BINARY.values() if number % 1024**p == 0)
        return f"{int(number / 1024**power)}{next(s for s, p in BINARY.items() if p == power)}"
    for suffix, exponent in reversed(DECIMAL.items()):
        scaled = number.scaleb(-exponent)
        if scaled == int(scaled):
            return f"{int(scaled)}{suffix}"
    return f"{int(number.scaleb(9)) + 1}n"  # finer than nano is rounded up


# -- names ------------------------------------------------------------------------------------


def is_name(text: str, pattern: re.Pattern[str], longest: int) -> bool:
    return len(text) <= longest and bool(pattern.fullmatch(text))


def is_key(text: str) -> bool:
    """A label's or annotation's key: `name` or `domain/name`."""
    domain, slash, name = text.rpartition("/")
    return is_name(name, WORD, 63) and (not slash or is_name(domain, DNS_NAME, 253))


def is_label_value(text: Any) -> bool:
    return isinstance(text, str) and (not text or is_name(text, WORD, 63))


def check_metadata(metadata: Mapping[str, Any], kind: str) -> Iterator[Problem]:
    name = metadata.get("name", "")
    pattern, longest = {
        "Namespace": (DNS_LABEL, 63),
        "Service": (SERVICE_NAME, 63),
    }.get(kind, (DNS_NAME, 253))
    if not is_name(name, pattern, longest):
        yield Problem("metadata.name", f"{name!r} is not a lowercase RFC 1123 name")
    yield from check_labels(metadata.get("labels"), "metadata.labels")
    size = 0
    for key, value in (metadata.get("annotations") or {}).items():
        size += len(key.encode()) + len(str(value).encode())
        if not is_key(key.lower()):
            yield Problem("metadata.annotations", f"{key!r} is no valid key")
        if not isinstance(value, str):
            yield Problem(f"metadata.annotations[{key}]", f"{value!r} is no text")
    if size > ANNOTATIONS_BYTES:
        yield Problem("metadata.annotations", f"{size} bytes; at most {ANNOTATIONS_BYTES}")


def check_labels(labels: Mapping[str, Any] | None, field: str) -> Iterator[Problem]:
    for key, value in (labels or {}).items():
        if not is_key(key):
            yield Problem(field, f"{key!r} is no valid key")
        if not is_label_value(value):
            yield Problem(f"{field}[{key}]", f"{value!r} is no valid value")


# -- pods -------------------------------------------------------------------------------------


def containers_of(spec: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(part) or []):
            yield f"spec.{part}[{number}]", container


def check_pod(pod: Mapping[str, Any]) -> Iterator[Problem]:
    spec = pod.get("spec") or {}
    yield from check_labels(spec.get("nodeSelector"), "spec.nodeSelector")
    if not spec.get("containers"):
        yield Problem("spec.containers", "at least one is required")
    volumes = [volume.get("name", "") for volume in spec.get("volumes") or []]
    yield from _check_names(volumes, "spec.volumes")
    names = [container.get("name", "") for _, container in containers_of(spec)]
    yield from _check_names(names, "spec.containers")
    for field, container in containers_of(spec):
        if not container.get("image"):
            yield Problem(f"{field}.image", "is required")
        yield from check_resources(container.get("resources") or {}, f"{field}.resources")
        yield from _check_ports(container.get("ports") or [], f"{field}.ports")
        for variable in container.get("env") or []:
            if not ENVIRONMENT_NAME.fullmatch(variable.get("name", "")):
                yield Problem(f"{field}.env", f"{variable.get('name')!r} is no valid name")
            if not isinstance(variable.get("value", ""), str):
                yield Problem(f"{field}.env[{variable['name']}]", "the value is no text")
        mounts = container.get("volumeMounts") or []
        for mount in mounts:
            if mount.get("name") not in volumes:
                yield Problem(f"{field}.volumeMounts", f"no volume {mount.get('name')!r}")
        paths = [mount.get("mountPath") for mount in mounts]
        for path in sorted({p for p in paths if p and paths.count(p) > 1}):
            yield Problem(f"{field}.volumeMounts", f"{path!r} is mounted twice")


def _check_names(names: list[str], field: str) -> Iterator[Problem]:
    for name in names:
        if not is_name(name, DNS_LABEL, 63):
            yield Problem(field, f"{name!r} is not a lowercase RFC 1123 label")
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield Problem(field, f"Duplicate value: {name!r}")


def _check_ports(ports: list[dict[str, Any]], field: str) -> Iterator[Problem]:
    for port in ports:
        if not 0 < port.get("containerPort", 0) < 65536:
            yield Problem(field, f"{port.get('containerPort')} is no port")
        if port.get("name") and not is_name(port["name"], PORT_NAME, 15):
            yield Problem(field, f"{port['name']!r} is no valid name")


def check_resources(resources: Mapping[str, Any], field: str) -> Iterator[Problem]:
    amounts: dict[str, dict[str, Decimal]] = {"limits": {}, "requests": {}}
    for part, found in amounts.items():
        for name, value in (resources.get(part) or {}).items():
            where = f"{field}.{part}[{name}]"
            if name not in STANDARD and not name.startswith("hugepages-") and "/" not in name:
                yield Problem(where, "is neither a standard resource nor fully qualified")
            if not is_key(name):
                yield Problem(where, "is no valid name")
            try:
                found[name] = quantity(value)
            except ValueError as error:
                yield Problem(where, str(error))
                continue
            if found[name] < 0:
                yield Problem(where, f"{value!r} is negative")
            if "/" in name and found[name] != int(found[name]):
                yield Problem(where, f"{value!r} is no whole number")
    limits = amounts["limits"]
    for name, request in amounts["requests"].items():
        where = f"{field}.requests[{name}]"
        if name in limits and request > limits[name]:
            yield Problem(where, f"{request} is above the limit, {limits[name]}")
        elif "/" in name and limits.get(name) != request:
            yield Problem(where, "must equal the limit: it can't be overcommitted")


# -- volume claims ----------------------------------------------------------------------------


def check_claim(claim: Mapping[str, Any]) -> Iterator[Problem]:
    spec = claim.get("spec") or {}
    modes = spec.get("accessModes") or []
    if not modes:
        yield Problem("spec.accessModes", "at least one is required")
    for mode in sorted(set(modes) - ACCESS_MODES):
        yield Problem("spec.accessModes", f"{mode!r} is not supported")
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    try:
        if quantity(storage) <= 0:
            yield Problem("spec.resources[storage]", f"{storage!r} is not above zero")
    except ValueError as error:
        yield Problem("spec.resources[storage]", str(error))
    if spec.get("storageClassName") and not is_name(spec["storageClassName"], DNS_NAME, 253):
        yield Problem("spec.storageClassName", f"{spec['storageClassName']!r} is no valid name")


def check(body: Mapping[str, Any]) -> list[Problem]:
    """Everything that is wrong with an object of any kind."""
    kind = body.get("kind", "")
    more = {"Pod": check_pod, "PersistentVolumeClaim": check_claim}.get(kind, lambda _: iter(()))
    return [*check_metadata(body.get("metadata") or {}, kind), *more(body)]


# -- defaults ---------------------------------------------------------------------------------


def with_defaults(
    pod: Mapping[str, Any],
    limit_range: Mapping[str, Mapping[str, Any]] | None = None,
    memory_limit: Any = None,
) -> dict[str, Any]:
    """A pod as it is stored: requests from limits, then what admission adds, all canonical.

    `limit_range` is that of a LimitRange for containers, `{"default": ..., "defaultRequest": ...}`;
    `memory_limit` is what a mutating webhook makes of the memory limit of `notebook`.
    """
    pod = copy.deepcopy(dict(pod))
    for _, container in containers_of(pod.get("spec") or {}):
        given = container.get("resources") or {}
        limits, requests = dict(given.get("limits") or {}), dict(given.get("requests") or {})
        requests = {**limits, **requests}
        if limit_range:
            added = limit_range.get("default", {})
            limits = {**added, **limits}
            requests = {**limit_range.get("defaultRequest", added), **requests}
        if memory_limit is not None and container.get("name") == "notebook":
            limits["memory"] = memory_limit
            if quantity(requests.get("memory", memory_limit)) > quantity(memory_limit):
                requests["memory"] = memory_limit
        parts = {"limits": _canonical(limits), "requests": _canonical(requests)}
        container["resources"] = {
            **given,
            **{part: amounts for part, amounts in parts.items() if amounts},
        }
    return pod


def _canonical(amounts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _canonical_or_as_is(value) for name, value in amounts.items()}


def _canonical_or_as_is(value: Any) -> Any:
    try:
        return canonical(value)
    except ValueError:  # the checks, which come after this, say so
        return value
