"""Write docs/reference.md from the code: `python docs/reference.py`."""

from __future__ import annotations

import argparse
import inspect
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from hub_groups import access as group_access
from hub_groups import cli as groups_cli
from hub_groups import operations as group_operations
from hub_groups.config import HubGroups
from hub_groups.exposition import Family
from hub_groups.group_metrics import FAMILIES as GROUP_FAMILIES
from hub_groups.rest import Operation
from hub_groups.web import BURST, PER_SECOND
from hub_quotas import cli as quotas_cli
from hub_quotas import hub_cli
from hub_quotas.access import SCOPES
from hub_quotas.config import HubQuotas
from hub_quotas.limits import CHARGED_GROUP, GRACE, KEYS
from hub_quotas.messages import scope_titles
from hub_quotas.metrics import FAMILIES
from hub_quotas.operations import OPERATIONS
from hub_quotas.policy import DEFAULT_GROUP
from hub_quotas.quantities import RESOURCES, TIME, say_duration
from hub_quotas.refusal import REASONS, REFUSALS
from hub_quotas.storage_agent import cli as agent_cli
from share_links import access as launch_access
from share_links import cli as links_cli
from share_links import forms, launch
from share_links import operations as launch_operations
from share_links.config import ShareLinks
from share_links.findings import KINDS

HERE = Path(__file__).parent
os.environ.update(COLUMNS="100", NO_COLOR="1")  # how argparse writes what `--help` says


def settings(cls: type) -> str:
    lines = []
    for name, trait in sorted(cls.class_own_traits(config=True).items()):
        lines.append(f"### `c.{cls.__name__}.{name}`\n\n{inspect.cleandoc(trait.help)}\n")
    return "\n".join(lines)


def limits() -> str:
    rows = [
        "| limit | holds for | counted in | how to write it |",
        "| --- | --- | --- | --- |",
    ]
    for key in KEYS:
        scope, _, name = key.partition(".")
        found = RESOURCES[name]
        how = inspect.cleandoc(found.parse.__doc__ or "").splitlines()[0].removesuffix(".")
        window = ", and a window" if found.kind == TIME else ""
        rows.append(f"| `{key}` | {scope_titles()[scope]} | {found.unit} | {how}{window} |")
    return "\n".join(rows)


def scopes() -> str:
    rows = ["| scope | what it lets its holder do |", "| --- | --- |"]
    known = {**SCOPES, **group_access.SCOPES, **launch_access.SCOPES}
    rows += [f"| `{name}` | {about['description']} |" for name, about in known.items()]
    return "\n".join(rows)


def operations(known: Iterable[Operation]) -> str:
    rows = ["| operation | what it does | who may |", "| --- | --- | --- |"]
    for one in known:
        rows.append(f"| `{one.method} {one.path}` | {one.summary} | {one.who.value} |")
    return "\n".join(rows)


def metrics(families: Sequence[Family]) -> str:
    rows = ["| metric | kind | labels | what it says |", "| --- | --- | --- | --- |"]
    for family in families:
        labels = ", ".join(f"`{name}`" for name in family.labels)
        rows.append(f"| `{family.name}` | {family.kind} | {labels} | {family.about} |")
    return "\n".join(rows)


def commands(module: ModuleType) -> str:
    """What `--help` says of a program and of each of its commands."""
    parser: argparse.ArgumentParser = module._parser()
    inner = [action for action in parser._actions if isinstance(action.choices, dict)]
    found = [parser, *(one for action in inner for one in action.choices.values())]
    return "\n\n".join(f"```text\n{one.format_help().strip()}\n```" for one in found)


def reasons() -> str:
    rows = ["| code | why there is no server |", "| --- | --- |"]
    rows += [f"| `{code}` | {about} |" for code, about in REASONS.items()]
    return "\n".join(rows)


def findings() -> str:
    rows = ["| code | severity | what is wrong |", "| --- | --- | --- |"]
    rows += [f"| `{code}` | {kind.severity} | {kind.about} |" for code, kind in KINDS.items()]
    return "\n".join(rows)


def launch_parts() -> str:
    kinds = (launch.Launch, launch.Content, launch.Environment, launch.Target)
    return "\n\n".join(f"{kind.__name__}: {inspect.cleandoc(kind.__doc__ or '')}" for kind in kinds)


def launch_forms() -> str:
    """Each form, with what of a launch that has everything it loses."""
    full = launch.Launch(
        launch.Content("https://github.com/earth/geo-book", "a" * 40, "there"),
        launch.Environment("gpu", {"a": "b"}, {"c": "d"}, "e", "https://github.com/o/r", "main"),
        group="g",
        join=True,
        target=launch.Target("notebook", "a.ipynb", cell="c"),
    )
    kinds = {
        "resolved": "a hub with share_links",
        "spawn": "JupyterHub 6; JupyterHub 5 with hub_quotas",
        "spawn5": "JupyterHub 5",
        "nbgitpuller": "any hub whose servers have nbgitpuller",
        "binder": "a BinderHub",
        "colab": "Google Colab",
    }
    rows = []
    for form, where in kinds.items():
        lost = forms.write(form, full, "https://hub.example.org/").lost
        said = ", ".join(f"`{part}`" for part in lost).replace("`content.ref`", "a commit")
        rows.append(f"| `{form}` | {where} | {said or 'it carries everything'} |")
    return "\n".join(rows)


def document() -> str:
    return f"""# Reference

<!-- Generated by docs/reference.py; a test fails when it is out of date. -->

## Limits

A limit is a cap on what runs at once, or, with a window, a budget: `40 per 7d`. It holds for a
group and for everything below it. Kubernetes extended resources have limits by their full name:
`group.nvidia.com/gpu: 4`, `member.nvidia.com/gpu-hours: 40 per month`.

{limits()}

{inspect.cleandoc(RESOURCES["memory"].parse.__doc__ or "").splitlines()[-1]}

Windows: `7d`, `36h` (rolling); `day`, `week`, `month`, `quarter` (in the hub's time zone, from
midnight); `2026-09-01..2026-12-20` (a term, both days included). A budget admits a server as long
as something is left of it; several windows of one budget stand in a list: `[8 per day, 40 per 7d]`.
Storage can have a soft limit below the hard one, and how long more may be there:
`12G soft 10G for 7d`.

What happens when a budget is used up stands behind it: `40 per 7d then refuse` (new servers; so it
is when nothing is said), `then stop after 10m` (and those that run, after a grace period;
`then stop` after {say_duration(GRACE)}), `then downsize to cpu 1 and memory 2G` (new servers no
larger than that may start).

All of it at a glance; what is in brackets may be left out:

```text
LIMIT     SCOPE.RESOURCE: CAP | BUDGET | list of BUDGETs with different windows
SCOPE     server | member | group
CAP       AMOUNT, for storage also: AMOUNT soft AMOUNT [for DURATION]
BUDGET    AMOUNT per WINDOW [then REACTION]
WINDOW    DURATION | day | week | month | quarter | DATE..DATE
REACTION  refuse | stop [after DURATION] | downsize to RESOURCE AMOUNT [and RESOURCE AMOUNT]
DURATION  30m | 36h | 7d
DATE      2026-09-01
```

Users in no group are charged to the group `{DEFAULT_GROUP}`.

## Policies

A policy is a mapping, in YAML or JSON:

```yaml
plans:
  course-small:
    limits: {{server.cpu: 2, member.servers: 1, member.cpu-hours: 20 per 7d}}
prices:
  - {{since: 2026-01-01, cpu: 0.04, memory: 0.005, gpu: 1.2}}
groups:
  earth-sciences:
    limits: {{group.cost: 2000 per month}}
  earth-sciences/geo-101:
    plan: course-small
    managers: [prof-ada]
    priority: 10
    limits: {{server.memory: 8Gi, group.gpu: 4}}
    boosts:
      - {{limit: member.cpu-hours, amount: 40 per 7d, member: sam, until: 2026-12-18, why: thesis}}
  summer-school:
    parent: earth-sciences
```

`earth-sciences/geo-101` is below `earth-sciences` by its name; `parent` says otherwise. What a
group sets itself wins over its plan, limit by limit. Prices are for an hour of a core, of a GiB, or
of one of anything else, in the hub's currency, from a day on; a running server keeps the price it
started with. A boost holds instead of a limit with the same window, for one member or for all,
until the end of a day or until a time (`2026-12-18T14:00`, in the hub's time zone).

## Roles and scopes

{scopes()}

## REST API

Quotas are below `/services/quotas/api`, groups below `/services/groups/api`, launch links below
`/services/launch/api`. The hub serves the whole description of each there as a page, and as
`openapi.json` (OpenAPI 3.1). A slash in a group's name is written `%2F`. Errors are problem
details (RFC 9457). A user can make {BURST} changes at once, and {PER_SECOND} more each second;
services are not held to that.

### Quotas

{operations(OPERATIONS)}

### Groups

{operations(group_operations.OPERATIONS)}

### Launch links

{operations(launch_operations.OPERATIONS)}

## The charged group

The user option `{CHARGED_GROUP}` names the group to charge. It is a choice on the spawn page for
members of several groups, `opt-{CHARGED_GROUP}=NAME` in a link, and
`{{"user_options": {{"{CHARGED_GROUP}": "NAME"}}}}` in the REST API. Without it, the first of the
user's groups that has room is charged, by the groups' priority and then by name.

## What a server asks for

What really is going to run, after the admin's own hooks and after profiles:

- KubeSpawner: requests and limits of all containers of its pod, by Kubernetes' own sum, and
  extended resources; again behind `modify_pod_hook`, and as the cluster has it.
- DockerSpawner: its limits and guarantees, what `extra_host_config` makes of them, and GPUs.
- SystemdSpawner: its limits and guarantees, and what `unit_extra_properties` makes of them.
- Any other: `cpu_limit`, `mem_limit`, `cpu_guarantee`, `mem_guarantee`.

Budgets count the guarantee where there is one, caps the limit. A sidecar without a limit counts
with what it requests. A server without a limit gets the tightest `server` limit of its group as its
limit; where there is none, caps and budgets on that can't hold, and refuse it. GPUs of all makers
(`nvidia.com/gpu`) count as `gpu` too.

## Settings

{settings(HubGroups)}
{settings(HubQuotas)}
{settings(ShareLinks)}
## Command line

### hub-group-quotas

For whoever runs a hub.

{commands(hub_cli)}

### hub-quotas

{commands(quotas_cli)}

### hub-groups

{commands(groups_cli)}

### share-links

{commands(links_cli)}

What `check` finds:

{findings()}

### hub-storage-agent

[Storage](storage.md) says what it is for.

{commands(agent_cli)}

## Codes of refusals

In the hub's log, in the label `reason` of its metric, and in what services are told whose
reservation is refused.

{reasons()}

## Metrics

`GET /services/quotas/metrics`, for tokens with the hub's scope `read:metrics`. `resource` is the
name under which use is counted: `cpu` also of a budget of CPU-hours, which has a `window` as in the
policy. Groups that have no limits and were not used lately are left out.

{metrics(FAMILIES)}

`GET /services/groups/metrics`, for the same tokens. There are no more series than that, however
many groups there are.

{metrics(GROUP_FAMILIES)}

In the hub's own `/hub/metrics`: the counter `{REFUSALS.describe()[0].name}_total` of servers that
were refused, with the label `reason`
([codes](reference.md#codes-of-refusals)).

## Launch links

What a link starts and opens is a `share_links.launch.Launch`; `share_links.forms.write` makes an
address of it, and says what that does not carry; `read` reads one.

```text
{launch_parts()}
```

| form | what makes of it | what it does not carry |
| --- | --- | --- |
{launch_forms()}
"""


if __name__ == "__main__":
    (HERE / "reference.md").write_text(document())
