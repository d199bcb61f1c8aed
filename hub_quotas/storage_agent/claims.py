"""Kubernetes: a home is a volume of its own, and its limit is the size that its claim asks for.

KubeSpawner makes the claims; here they grow. Kubernetes makes no volume smaller, and whether one
can grow is for its storage class to say. What is used only kubelets know, of volumes that are
mounted.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .backend import Escape, Held, StorageError, said
from .kubernetes import Kubernetes, KubernetesError
from .layout import Template

log = logging.getLogger("hub-storage-agent")

USER_KEY, SERVER_KEY = "hub.jupyter.org/username", "hub.jupyter.org/servername"
"""Annotations of KubeSpawner, with names as they are."""
NAME = "claims of Kubernetes"
"""By this the hub knows that homes can't shrink."""
HOMES = "claim-{user_server}"
"""KubeSpawner's own `pvc_name_template`."""
_STUCK_SECONDS = 600.0
"""After which a volume that does not grow is worth a look."""
_ASK_SECONDS = 60.0
"""Kubelets measure volumes once a minute."""
_SAME_VOLUME = 1.1
"""A volume that is larger than its claim by more is one that several claims share."""
_REFUSED_SECONDS = 300.0
"""After which what was refused is asked for again."""
_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:([mkMGTPE]?)|([KMGTPE])i|[eE](\d{1,2}))", re.ASCII)
_DECIMAL = {"m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = "KMGTPE"


def quantity(text: Any) -> int | None:
    """Bytes of what Kubernetes writes as `10Gi`, `10G`, `1e9`; None where it is none."""
    match = _QUANTITY.fullmatch(str(text))
    if not match:
        return None
    number, decimal, binary, power = match.groups()
    if binary:
        return int(Decimal(number) * 1024 ** (_BINARY.index(binary) + 1))
    return int(Decimal(number).scaleb(int(power) if power else _DECIMAL[decimal or ""]))


@dataclass(frozen=True)
class Claim:
    """A claim to a volume. Sizes are bytes.

    Attributes:
        uid: another claim of the same name has another.
        version: of the object, which each change gives another.
        asked: what it asks for.
        size: of its volume; None while there is none.
        storage_class: empty for none: the volume was made by hand.
        waits: that its file system grows when it is mounted next.
        failure: why its volume does not grow; empty for no reason.
        user: whose it is, as KubeSpawner has noted; empty where it has not.
        server: of which of their servers it is; empty for the one without a name.
        is_home: whether KubeSpawner made it.
    """

    name: str
    uid: str
    version: str
    asked: int
    size: int | None
    storage_class: str = ""
    waits: bool = False
    failure: str = ""
    user: str = ""
    server: str = ""
    is_home: bool = False

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Claim:
        """Of an object of Kubernetes."""
        meta, spec = found.get("metadata") or {}, found.get("spec") or {}
        status = found.get("status") or {}
        notes, labels = meta.get("annotations") or {}, meta.get("labels") or {}
        requests = (spec.get("resources") or {}).get("requests") or {}
        conditions = {
            one.get("type"): str(one.get("message") or one.get("reason") or one.get("type"))
            for one in status.get("conditions") or []
            if one.get("status") == "True"
        }
        growing = str((status.get("allocatedResourceStatuses") or {}).get("storage") or "")
        failure = conditions.get("ControllerResizeError") or conditions.get("NodeResizeError") or ""
        if not failure and growing.endswith("Infeasible"):
            failure = "its storage has no volume of that size"
        is_bound = status.get("phase") == "Bound"
        return cls(
            str(meta.get("name")),
            str(meta.get("uid")),
            str(meta.get("resourceVersion")),
            quantity(requests.get("storage")) or 0,
            quantity((status.get("capacity") or {}).get("storage")) if is_bound else None,
            str(spec.get("storageClassName") or ""),
            "FileSystemResizePending" in conditions,
            failure.rstrip("."),
            str(notes.get(USER_KEY) or ""),
            str(notes.get(SERVER_KEY) or ""),
            USER_KEY in notes or labels.get("component") == "singleuser-storage",
        )


def names(text: str) -> Template:
    """What claims are called: `claim-{user_server}`.

    Raises:
        StorageError: no claim can have such a name.
    """
    found = Template.parse(text)
    if found.parent or found.below:
        raise StorageError(f"'{text}' has a slash, which no claim's name has; write {HOMES}.")
    return found


class Claims:
    """The claims of one namespace; both how they are limited and the place where they are."""

    def __init__(self, api: Kubernetes, homes: Template, ask_kubelets: bool = False) -> None:
        """Args:
        homes: see `names`.
        ask_kubelets: whether to ask them what is used, which takes the right to.
        """
        self._api, self._homes, self._ask_kubelets = api, homes, ask_kubelets
        self._claims: dict[str, Claim] | None = None
        self._used: dict[str, int] = {}  # by the claims' names
        self._asked_at = float("-inf")
        self._growing: dict[str, tuple[int, float]] = {}  # by uid: to what, and since when
        self._refused: dict[str, tuple[int, float, str]] = {}  # the same, and why
        self._can_grow: dict[str, bool] = {}  # by storage class, of one look
        self._problem = ""

    @property
    def name(self) -> str:
        return NAME

    def prepare(self) -> None:
        """See whether claims can be read.

        Raises:
            StorageError: they can't.
        """
        self._load()

    def create(self, home: str, owner: tuple[int, int], mode: int) -> None:
        """KubeSpawner makes them."""
        raise StorageError(f"{home} can't be made: KubeSpawner makes claims.")

    # -- reading -------------------------------------------------------------------------------

    def read(self, homes: Collection[str]) -> dict[str, Held]:
        claims = self._load()
        if self._ask_kubelets and time.monotonic() >= self._asked_at + _ASK_SECONDS:
            self._measure(claims)
            self._asked_at = time.monotonic()
        self._can_grow.clear()
        found = {}
        for home in homes:
            if claim := claims.get(home):
                limit = claim.asked if claim.size is None else claim.size
                found[home] = Held(self._used.get(claim.name), limit, claim.asked)
        return found

    def _load(self) -> dict[str, Claim]:
        """All claims, by the name that the template has for whose they are.

        Those that KubeSpawner made before a change of its template, or of how it writes names,
        have another name; their owner stands in an annotation.
        """
        found: dict[str, Claim] = {}
        for one in self._api.list(self._path()):
            claim = Claim.read(one)
            home = self._home(claim)
            # Of two, KubeSpawner takes the one that has the very name.
            if not claim.server and (home not in found or claim.name == home):
                found[home] = claim
        before, self._claims = self._claims or {}, found
        for home, old in before.items():
            if home not in found or found[home].uid != old.uid:
                self._used.pop(old.name, None)
                self._growing.pop(old.uid, None)
                self._refused.pop(old.uid, None)
        return found

    def _home(self, claim: Claim) -> str:
        try:
            return self._homes.home(claim.user) if claim.user else claim.name
        except StorageError:
            return claim.name

    def _path(self, name: str = "") -> str:
        return self._api.path("v1", "persistentvolumeclaims", name)

    def _measure(self, claims: Mapping[str, Claim]) -> None:
        """Ask the kubelet of each node. What is mounted nowhere stays as it was seen last."""
        sizes = {claim.name: claim.size for claim in claims.values()}
        problem = ""
        try:
            nodes = list(self._api.list(self._api.path("v1", "nodes", everywhere=True)))
        except KubernetesError as error:
            nodes, problem = [], f"What is used is not known: {error}"
        for node in nodes:
            name = str((node.get("metadata") or {}).get("name"))
            if not _is_ready(node):
                continue  # asking it would take as long as nobody answers
            try:
                summary = self._api.summary(node)
            except KubernetesError as error:
                problem = f"What is used on the node {name} is not known: {error}"
                continue
            for claim, used, free, size in volumes(summary, self._api.namespace):
                if (of_claim := sizes.get(claim)) and size <= of_claim * _SAME_VOLUME:
                    # What the file system needs itself is nothing that is left.
                    self._used[claim] = max(used, of_claim - free)
        if problem and problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem

    # -- growing -------------------------------------------------------------------------------

    def put(self, limits: Mapping[str, int | None]) -> dict[str, str]:
        """Ask for larger volumes where they are to be larger."""
        claims = self._load() if self._claims is None else self._claims
        problems = {}
        for home, limit in limits.items():
            if home in claims and limit is not None and (why := self._put(home, limit)):
                problems[home] = why
        return problems

    def foresee(self, limits: Mapping[str, int | None]) -> dict[str, str]:
        """Why some of these could not be put, as far as that can be known; changes nothing."""
        claims = self._load() if self._claims is None else self._claims
        found = {home: (claims[home], limit) for home, limit in limits.items() if home in claims}
        whys = {home: self._refusal(claim, limit or 0) for home, (claim, limit) in found.items()}
        return {home: why for home, why in whys.items() if why}

    def _put(self, home: str, limit: int, again: bool = True) -> str:
        assert self._claims is not None
        claim = self._claims[home]
        if why := self._refusal(claim, limit):
            return why
        if claim.asked >= limit or claim.size is not None and claim.size >= limit:
            return self._progress(claim)
        refused, at, why = self._refused.get(claim.uid, (0, 0.0, ""))
        if refused == limit and time.monotonic() < at + _REFUSED_SECONDS:
            return why
        change = {
            "metadata": {"resourceVersion": claim.version},
            "spec": {"resources": {"requests": {"storage": str(limit)}}},
        }
        try:
            changed = self._api.patch(self._path(claim.name), change)
        except KubernetesError as error:
            if error.code == 404:
                return ""
            if error.code == 409 and again:  # somebody else has changed it since it was read
                return self._put_again(home, limit, claim.name)
            if not error.code:
                raise
            why = (error.why.partition(" is forbidden: ")[2] or error.why).rstrip(".")
            why = f"{claim.name} can't grow to {said(limit)}: {why}.{_keeps(claim)}"
            self._refused[claim.uid] = limit, time.monotonic(), why
            return why
        log.info("%s grows to %s.", claim.name, said(limit))
        self._claims[home] = Claim.read(changed)
        return self._progress(self._claims[home])

    def _put_again(self, home: str, limit: int, name: str) -> str:
        assert self._claims is not None
        try:
            self._claims[home] = Claim.read(self._api.get(self._path(name)))
        except KubernetesError as error:
            return "" if error.code == 404 else f"{name}: {error}"
        return self._put(home, limit, again=False)

    def _refusal(self, claim: Claim, limit: int) -> str:
        """Why a claim can't be what it should be; empty where it can."""
        if claim.asked > limit:
            size = said(max(claim.asked, claim.size or 0))
            why = f"Kubernetes makes no volume smaller. It keeps {size}."
            return f"{claim.name} can't shrink: {why}"
        if claim.size is not None and claim.size >= limit or claim.asked == limit:
            return ""
        what = f"{claim.name} can't grow to {said(limit)}"
        if claim.size is None:
            return f"{what} yet: it has no volume, as before the first start of a server."
        if not claim.storage_class:
            return f"{what}: it has no storage class, and so nothing to make it.{_keeps(claim)}"
        if not self._allows(claim.storage_class):
            return (
                f"{what}: its storage class '{claim.storage_class}' does not allow that"
                f" (allowVolumeExpansion).{_keeps(claim)}"
            )
        return ""

    def _allows(self, name: str) -> bool:
        """Whether volumes of a storage class can grow. Where that can't be read, asking tells."""
        if name not in self._can_grow:
            path = self._api.path("storage.k8s.io/v1", "storageclasses", name, everywhere=True)
            try:
                self._can_grow[name] = bool(self._api.get(path).get("allowVolumeExpansion"))
            except KubernetesError as error:
                self._can_grow[name] = error.code != 404
        return self._can_grow[name]

    def _progress(self, claim: Claim) -> str:
        """Why a volume is not yet as large as its claim asks; empty where it is."""
        if claim.size is None or claim.size >= claim.asked:
            self._growing.pop(claim.uid, None)
            return ""
        to, since = self._growing.get(claim.uid, (0, 0.0))
        if to != claim.asked:
            since = time.monotonic()
            self._growing[claim.uid] = claim.asked, since
        what = f"{claim.name} is to grow to {said(claim.asked)}"
        if claim.failure:
            return f"{what}, but can't: {claim.failure}.{_keeps(claim)}"
        if claim.waits:
            return f"{what} when its owner's server is started again.{_keeps(claim)}"
        if time.monotonic() > since + _STUCK_SECONDS:
            return (
                f"{what}, and has not for ten minutes: see `kubectl describe pvc {claim.name}`."
                f"{_keeps(claim)}"
            )
        return f"{what}.{_keeps(claim, 'now has')}"

    def repair(self, homes: Collection[str]) -> list[Escape]:
        """Nobody but the storage writes beyond a volume's size. What kubelets don't say is."""
        return []

    # -- as a place ----------------------------------------------------------------------------

    def listed(self, parent: str) -> Iterable[str]:
        """Of KubeSpawner's claims, as they were read last."""
        claims = self._load() if self._claims is None else self._claims
        return [home for home, claim in claims.items() if claim.is_home]

    def room(self) -> tuple[int, int]:
        """Bytes of all claims together, and what of them is not known to be used."""
        claims = (self._claims or {}).values()
        size = sum(claim.size or 0 for claim in claims)
        return size, max(0, size - sum(self._used.get(claim.name, 0) for claim in claims))


def _keeps(claim: Claim, how: str = "keeps") -> str:
    return f" It {how} {said(claim.asked if claim.size is None else claim.size)}."


def _is_ready(node: Mapping[str, Any]) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def volumes(summary: Mapping[str, Any], namespace: str) -> Iterable[tuple[str, int, int, int]]:
    """Of a kubelet's summary: claims, and of the file system of each what is used, what is free,
    and its size."""
    for pod in summary.get("pods") or []:
        for volume in pod.get("volume") or []:
            claim = volume.get("pvcRef") or {}
            found = [volume.get(f"{what}Bytes") for what in ("used", "available", "capacity")]
            if claim.get("namespace") == namespace and None not in found:
                used, free, size = found
                yield str(claim.get("name")), int(used), int(free), int(size)
