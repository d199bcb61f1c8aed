"""Pods: what KubeSpawner really asks for, what the cluster really runs, and when it ended."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from jupyterhub.utils import maybe_future
from traitlets import TraitError

from hub_groups.words import _

from .decision import Answer, Decision
from .limits import PolicyError
from .messages import both, things
from .off_loop import off_loop
from .pods import asks_for, label_value
from .policy_store import now
from .quantities import QuantityError, resource
from .readers import as_sent, as_started, read, unshare
from .requests import MEASURED, Amounts, Request
from .spawner import LEDGER, QuotaMixin
from .storage import home_of
from .transaction import LedgerError

GROUP_KEY = "jupyterhub-group-quotas/group"
"""Label and annotation of a pod: the charged group."""
SESSION_KEY = "jupyterhub-group-quotas/session"
"""Annotation of a pod: its session in the ledger."""


class ProfilesQuotaMixin(QuotaMixin):
    """For spawners that apply profiles in start(), after the pre-spawn hook."""

    profile_list: Any
    charged_first = False
    _granted: Decision | None = None
    _profile = ""

    async def run_pre_spawn_hook(self) -> None:
        await maybe_future(super(QuotaMixin, self).run_pre_spawn_hook())  # type: ignore[misc]

    async def load_user_options(self) -> None:
        """Decide when the profile is known, before anything is made in the cluster."""
        self.speak()
        try:
            await maybe_future(super().load_user_options())  # type: ignore[misc]
        except (KeyError, ValueError, TraitError) as error:  # an unknown profile: else a 500
            raise self.refuse(
                _("No such choice: {error}").format(error=error), "quota-choice", 400
            ) from None
        self._granted = None
        self._granted = await self.charge()

    def _load_profile(self, slug: Any, profile_list: Any) -> Any:
        """Of KubeSpawner: who chooses none gets the default one."""
        self._profile = str(self._get_profile(slug, profile_list).get("slug") or "")  # type: ignore[attr-defined]
        return super()._load_profile(slug, profile_list)  # type: ignore[misc]

    def profile(self) -> str:
        return self._profile

    async def choices(self) -> list[tuple[str, Request]]:
        profiles = await self.profiles()
        if not profiles:
            return await super().choices()
        started = await as_started(self)
        found = []
        for profile in profiles:
            await asyncio.sleep(0)  # each takes a millisecond or two of the event loop
            chosen = copy.copy(started)
            chosen.user_options = {"profile": profile["slug"]}
            try:
                asked = (await read(await self.with_profile(chosen, profiles))).asked
            except Exception as error:  # an admin's own code: the page is shown without it
                self.log.warning("What %s asks for can't be told: %s", profile["slug"], error)
                continue
            found.append((str(profile.get("display_name")), self.quota_settings.request(*asked)))
        return found

    async def with_profile(self, chosen: Any, profiles: list[dict[str, Any]] | None = None) -> Any:
        """A copy of this spawner, with the profile that its user options choose."""
        if profiles is None:
            profiles = await self.profiles()
        for profile in profiles:
            unshare(chosen, _overrides(profile))
        chosen.profile_list = copy.deepcopy(profiles)
        await maybe_future(super(ProfilesQuotaMixin, chosen).load_user_options())  # type: ignore[misc]
        return chosen

    async def profiles(self) -> list[dict[str, Any]]:
        """The profiles, each with its slug, and its default choices marked."""
        listed = getattr(self, "profile_list", None)
        if callable(listed):
            listed = await maybe_future(listed(self))
        if not listed or not hasattr(self, "_get_initialized_profile_list"):
            return []
        if isinstance(listed, Mapping):
            listed = [listed[key] for key in sorted(listed)]
        found: list[dict[str, Any]] = self._get_initialized_profile_list(listed)
        return found


class KubeQuotaMixin(ProfilesQuotaMixin):
    """For KubeSpawner: its pod is the truth."""

    modify_pod_hook: Any
    pod_name: str
    namespace: str

    storage_pvc_ensure: bool
    _pvc_exists: bool

    _ended: int | None = None
    _home_size: int | None = None

    async def load_user_options(self) -> None:
        self._ended = None
        await super().load_user_options()
        self._home_size = await self._wanted_size()

    # -- its home ----------------------------------------------------------------------------

    async def _wanted_size(self) -> int | None:
        """Bytes that the home's limit is, where it is about to be made; None to leave its size to
        the hub's configuration."""
        settings = self.quota_settings
        is_new = self.storage_pvc_ensure and not getattr(self, "_pvc_exists", False)
        if not is_new or not settings.size_claims or self.allowed:  # without the ledger
            return None
        name, groups = self.user.name, self.groups()

        def limit() -> int | None:
            store = settings.store()
            allowance = home_of(store.policy(), name, groups, now(), store.zone)
            return allowance.amount if allowance else None

        try:
            return await off_loop(limit) or None
        except (LedgerError, PolicyError) as error:
            self.log.warning("%s: a new claim is as large as configured: %s", self._who, error)
            return None

    def get_pvc_manifest(self) -> Any:
        """A new claim is as large as its owner's home may be."""
        claim = super().get_pvc_manifest()  # type: ignore[misc]
        if self._home_size:
            claim.spec.resources.requests["storage"] = str(self._home_size)
        return claim

    async def get_pod_manifest(self) -> Any:
        pod = await super().get_pod_manifest()  # type: ignore[misc]
        if self.session_id and not isinstance(self.modify_pod_hook, _Last):
            # KubeSpawner reads the hook after this; whatever the admin's does comes before ours.
            self.modify_pod_hook = _Last(self.modify_pod_hook)
        return pod

    async def settle(self, pod: Any) -> Any:
        """The pod is final: it gets its labels, and what it asks for is charged."""
        self.speak()
        if self.session_id is None:
            raise self.overtaken()
        if self._granted is not None:
            await self._recount(
                as_sent(self, pod),
                _("This server's pod was changed by this hub's configuration. {change} {why}"),
            )
        session = self.session_id
        group = self.charged_group
        if pod.metadata.labels is None:
            pod.metadata.labels = {}
        if pod.metadata.annotations is None:
            pod.metadata.annotations = {}
        pod.metadata.labels[GROUP_KEY] = label_value(group)
        pod.metadata.annotations.update({GROUP_KEY: group, SESSION_KEY: session or ""})
        return pod

    async def _recount(self, pod: Mapping[str, Any], text: str) -> None:
        """What somebody has changed in the pod is decided again, and charged."""
        assert self._granted and self.session_id
        asked = self._asks_for(pod)
        if self._same(asked):
            return
        request = self.quota_settings.request(*asked)
        session, settings = self.session_id, self.quota_settings
        try:
            decision = await off_loop(lambda: settings.store().amend(session, request))
        except LedgerError as error:
            raise self.refuse(
                _("The ledger can't be reached: {error}").format(error=error), LEDGER, 503
            ) from None
        if decision is None or not decision.allowed or decision.gets != request:
            changed = _difference(self._granted.gets.limits, asked[0])
            why = ""
            if decision and not decision.allowed:
                why, _code = await off_loop(
                    self.words, self.user.name, Answer((decision,)), self.user.admin
                )
            said = text.format(change=changed, why=why).strip()
            self.log.error("%s can't run: %s", self._who, said)
            raise self.refuse(said, "quota-pod")
        self._granted = decision

    async def start(self) -> Any:
        """What the cluster made of the pod is what counts: it may have defaults of its own."""
        address = await super().start()
        pod = self._seen_pod()
        if pod is not None and self._granted is not None:
            await self._recount(
                pod, _("This server's pod was changed by the cluster. {change} {why}")
            )
        return address

    def _asks_for(self, pod: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
        try:
            return asks_for(pod)
        except QuantityError as error:
            raise self.refuse(
                _("This server's pod can't be understood: {error}").format(error=error),
                "quota-request",
                400,
            ) from None

    def _same(self, asked: tuple[Amounts, Amounts]) -> bool:
        """Whether a pod counts as what was granted."""
        assert self._granted
        counted = {"servers": 1, **self.quota_settings.request(*asked).amounts}
        granted = {n: a for n, a in self._granted.amounts.items() if n != "cost"}
        return counted == granted

    # -- when it ended -----------------------------------------------------------------------

    async def stop(self, now: bool = False) -> Any:
        self._look_for_end()  # KubeSpawner's poll deletes a pod that has ended with this
        return await super().stop(now)

    async def poll(self) -> Any:
        self._look_for_end()
        return await super().poll()

    def ended_at(self) -> int | None:
        return self._ended

    def _look_for_end(self) -> None:
        self._ended = finished_at(self._seen_pod() or {}) or self._ended

    def _seen_pod(self) -> Mapping[str, Any] | None:
        """The pod as the cluster has it, where KubeSpawner watches pods already."""
        try:
            pods = self.pod_reflector.pods  # type: ignore[attr-defined]
        except (AttributeError, KeyError):
            return None
        found: Mapping[str, Any] | None = pods.get(f"{self.namespace}/{self.pod_name}")
        return found


class _Last:
    """The admin's modify_pod_hook, and then ours."""

    def __init__(self, theirs: Any) -> None:
        self._theirs = theirs

    async def __call__(self, spawner: Any, pod: Any) -> Any:
        if self._theirs:
            pod = await maybe_future(self._theirs(spawner, pod))
        return await spawner.settle(pod)


def _overrides(profile: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield profile.get("kubespawner_override") or {}
    for option in (profile.get("profile_options") or {}).values():
        for choice in (option.get("choices") or {}).values():
            yield choice.get("kubespawner_override") or {}


def finished_at(pod: Mapping[str, Any]) -> int | None:
    """When the first container of a pod ended; microseconds since 1970, UTC. None if it has not.

    Kubernetes tells whole seconds.
    """
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        if container.get("name") in ("notebook", _first(pod)):
            ended = ((container.get("state") or {}).get("terminated") or {}).get("finishedAt")
            if ended:
                when = datetime.fromisoformat(ended.replace("Z", "+00:00"))
                return int(when.astimezone(timezone.utc).timestamp()) * 10**6
    return None


def _first(pod: Mapping[str, Any]) -> str | None:
    containers = (pod.get("spec") or {}).get("containers") or [{}]
    name: str | None = containers[0].get("name")
    return name


def _difference(granted: Amounts, asked: Amounts) -> str:
    """`It asks for 8 GiB of memory instead of 2 GiB.`"""
    parts = []
    for name in sorted({*granted, *asked}):
        found = resource(name)
        if found and granted.get(name) != asked.get(name):
            have, want = (
                found.say(amounts[name]) if name in amounts else _("no limit")
                for amounts in (granted, asked)
            )
            said = _("{amount} of {resource} instead of {granted}")
            parts.append(
                said.format(
                    amount=want, resource=things(name) if name in MEASURED else name, granted=have
                )
            )
    return _("It asks for {what}.").format(what=both(parts)) if parts else ""
