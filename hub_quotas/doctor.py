"""What is wrong with a hub, and what puts it right: from what a doctor has seen of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from . import doctor_config_rules as config_rules
from . import doctor_hub_rules as hub_rules
from .doctor_facts import HINT, NEW, PROBLEM, READY, WARNING, Facts, Finding
from .doctor_words import GROUPS, QUOTAS, place

RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    config_rules.configuration,
    config_rules.drop_ins,
    config_rules.settings_that_do_little,
    config_rules.advisory_limits,
    config_rules.pages_for_a_proxy_elsewhere,
    config_rules.databases,
    hub_rules.hub,
    hub_rules.drift,
    hub_rules.hub_version,
    hub_rules.classes,
    hub_rules.pages,
    hub_rules.front,
)


def diagnose(facts: Facts) -> tuple[Finding, ...]:
    """All that is to be put right, the worst first."""
    found = [finding for rule in RULES for finding in rule(facts)]
    return tuple(sorted(found, key=lambda one: (PROBLEM, WARNING, HINT).index(one.level)))


def healthy(facts: Facts) -> tuple[str, ...]:
    """What was looked at and is as it should be, a sentence each."""
    findings = diagnose(facts)
    wrong = {one.code for one in findings}
    config, running = facts.config, facts.running

    def fine(*codes: str) -> bool:
        return not any(code.startswith(codes) for code in wrong)

    found = []
    if not config.problem and fine("drop-ins", "setting", "file", "extra"):
        found.append(f"The configuration loads {', '.join(config.packages)}: {config.file}")
    found += [
        f"The database of {one.package} {'can be used' if one.state == READY else 'is to be made'}:"
        f" {one.url}"
        for one in facts.databases
        if one.state in (READY, NEW) and not any(found.where == place(one) for found in findings)
    ]
    if facts.hub and facts.hub.right:
        found.append(f"JupyterHub{' ' + running.jupyterhub if running else ''}: {facts.hub_url}")
    if running and fine("spawner") and QUOTAS in running.packages:
        found.append(f"Quotas decide about each start: {running.spawner.name}")
    if running and fine("authenticator") and GROUPS in running.packages:
        found.append(f"Groups are merged at each login: {running.authenticator.name}")
    if running and running.pages and fine("service", "pages", "proxy", "public"):
        how = f"through {facts.public}" if facts.front else "by the hub"
        found.append(
            f"The pages of {', '.join(one.name for one in running.pages)} are served: {how}"
        )
    if config.mail and fine("mail"):
        found.append(f"The mail server answers: {config.mail}")
    return tuple(found)
