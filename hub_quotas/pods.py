"""What a Kubernetes pod asks for. Pure; on the pod as the API has it, in plain mappings."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, Decimal, localcontext
from typing import Any

from hub_groups.words import _

from .quantities import QuantityError, resource

Amounts = dict[str, int]

_QUANTITY = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")
_SUFFIX = {suffix: Decimal(10) ** power for suffix, power in zip("num", (-9, -6, -3), strict=True)}
_SUFFIX |= {suffix: Decimal(1000) ** (n + 1) for n, suffix in enumerate("kMGTPE")}
_SUFFIX |= {f"{suffix}i": Decimal(1024) ** (n + 1) for n, suffix in enumerate("KMGTPE")}
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def parse_quantity(name: str, value: object) -> int:
    """A Kubernetes quantity of a resource in its smallest unit, rounded up: `500m`, `8Gi`, `1e3`.

    Here `G` is 1000³ and `Gi` 1024³, unlike in limits.

    Raises:
        QuantityError: it is not one.
    """
    match = _QUANTITY.fullmatch(str(value))
    if not match:
        raise QuantityError(
            _("'{value}' is not a Kubernetes quantity of {name}.").format(value=value, name=name)
        )
    with localcontext() as context:
        context.prec = 60
        number = Decimal(match[1] + (match[2] or "")) * _SUFFIX.get(match[3] or "", Decimal(1))
        scaled = number * (1000 if name == "cpu" else 1)
        return int(scaled.to_integral_value(ROUND_CEILING))


def asks_for(pod: Mapping[str, Any]) -> tuple[Amounts, Amounts]:
    """The limits and guarantees of a whole pod, by Kubernetes' own sum: of its containers and
    sidecars, or of an init container where that is more.

    The first container (the notebook) decides whether there is a limit at all: an admin's sidecar
    without one counts with what it requests.
    """
    spec = pod.get("spec") or {}
    containers = spec.get("containers") or []
    limits, guarantees = _effective(containers), _effective(containers, requests=True)
    for init in spec.get("initContainers") or []:
        if init.get("restartPolicy") == "Always":  # a sidecar: runs beside all that follow
            limits = _plus(limits, _of_container(init, requests=False, lenient=True))
            guarantees = _plus(guarantees, _of_container(init, requests=True))
    sidecars: tuple[Amounts, Amounts] = ({}, {})
    for init in spec.get("initContainers") or []:
        own = (_of_container(init, False, lenient=True), _of_container(init, requests=True))
        peak = (_plus(sidecars[0], own[0]), _plus(sidecars[1], own[1]))
        if init.get("restartPolicy") == "Always":
            sidecars = peak
            continue
        limits = {name: max(amount, peak[0].get(name, 0)) for name, amount in limits.items()}
        for name, amount in peak[1].items():
            guarantees[name] = max(amount, guarantees.get(name, 0))
    overhead = _amounts(spec.get("overhead") or {})
    limits = {name: amount + overhead.get(name, 0) for name, amount in limits.items()}
    guarantees = _plus(guarantees, overhead) if guarantees else guarantees
    return _with_gpus(limits), _with_gpus(guarantees)


def beside_the_notebook(pod: Mapping[str, Any]) -> tuple[Amounts, Amounts]:
    """What runs in the pod beside its first container: limits, and guarantees."""
    spec = pod.get("spec") or {}
    sidecars = [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    limits, guarantees = _amounts(spec.get("overhead") or {}), _amounts(spec.get("overhead") or {})
    for container in [*(spec.get("containers") or [])[1:], *sidecars]:
        limits = _plus(limits, _of_container(container, lenient=True))
        guarantees = _plus(guarantees, _of_container(container, requests=True))
    return limits, guarantees


def _effective(containers: Iterable[Mapping[str, Any]], requests: bool = False) -> Amounts:
    total: Amounts = {}
    first: Amounts | None = None
    for container in containers:
        own = _of_container(container, requests, lenient=first is not None)
        first = own if first is None else first
        total = _plus(total, own)
    if requests or first is None:
        return total
    # A resource that the notebook has no limit on is not limited by what its sidecars have.
    return {n: a for n, a in total.items() if n in first or n not in ("cpu", "memory")}


def _of_container(
    container: Mapping[str, Any], requests: bool = False, lenient: bool = False
) -> Amounts:
    """Limits, or requests, which are the limits where only those are given."""
    resources = container.get("resources") or {}
    limits = _amounts(resources.get("limits") or {})
    requested = _amounts(resources.get("requests") or {})
    if requests:
        return {**limits, **requested}
    return {**requested, **limits} if lenient else limits


def _amounts(quantities: Mapping[str, Any]) -> Amounts:
    """Only what limits can name."""
    known = ("cpu", "memory")
    return {
        name: parse_quantity(name, value)
        for name, value in quantities.items()
        if name in known or ("/" in name and resource(name))
    }


def _with_gpus(amounts: Amounts) -> Amounts:
    """GPUs of all makers count as `gpu` too."""
    gpus = sum(amount for name, amount in amounts.items() if name.endswith("/gpu"))
    return {**amounts, "gpu": gpus} if gpus else amounts


def _plus(one: Amounts, other: Amounts) -> Amounts:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def label_value(text: str) -> str:
    """`text` as the value of a Kubernetes label: itself where it is one, else readable and unique.

    Labels have at most 63 letters, digits, dots, dashes and underscores.
    """
    if _LABEL.fullmatch(text) and "---" not in text:
        return text
    readable = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:40].strip("-")
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{readable or 'x'}---{digest}"
