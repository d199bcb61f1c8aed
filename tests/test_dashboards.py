"""What is in `dashboards/` works with promtool, and with a real Prometheus and a real hub."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from hubs import PATIENCE, ROOT, Hub, wait_for

from hub_quotas.metrics import FAMILIES
from hub_quotas.policy import parse_policy
from hub_quotas.refusal import REFUSALS

sys.path.insert(0, str(ROOT / "benchmarks"))
import prometheus

FOLDER = ROOT / "dashboards"
DASHBOARD = FOLDER / "group-quotas.json"
TOKEN = "a-token-for-prometheus-alone"

# What Grafana fills in.
VARIABLES = {"$group": ".*", "$__rate_interval": "1m", "$__range": "5m"}
NAME = re.compile(r"\bjupyterhub_quota_\w+")


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> dict[str, str]:
    """Of all panels, by title and letter, with variables filled in."""
    found = {}
    for panel in panels():
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            assert "$" not in expression, expression
            found[f"{panel['title']} {target['refId']}"] = expression
    return found


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


# -- the files by themselves ------------------------------------------------------------------


def test_the_dashboard_is_one_by_grafanas_own_schema():
    """Everything in it is something that Grafana knows, and means what it says."""
    pytest.importorskip("grafana_foundation_sdk")  # which needs Python 3.11
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    document = json.loads(DASHBOARD.read_text())
    back = json.loads(JSONEncoder().encode(Dashboard.from_json(document)))
    assert list(differences(document, back)) == []


def differences(ours: Any, theirs: Any, place: str = "") -> Iterator[str]:
    """Where something of ours is missing, or is something else; what they add is a default."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                yield from differences(value, theirs[key], f"{place}.{key}")
            else:
                yield f"{place}.{key}"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(one, other, f"{place}.{number}")
    elif ours != theirs:
        yield place


def test_panels_have_ids_of_their_own_and_do_not_overlap():
    taken: dict[tuple[int, int], str] = {}
    ids = set()
    for panel in panels():
        ids.add(panel["id"])
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]
    assert len(ids) == len(panels())


def test_only_metrics_that_there_are_are_asked_for():
    known = {family.name for family in FAMILIES} | {f"{REFUSALS.describe()[0].name}_total"}
    asked = {name for text in expressions().values() for name in NAME.findall(text)}
    asked |= {name for rule in alerts() for name in NAME.findall(rule["expr"])}
    assert asked <= known
    assert set(NAME.findall((FOLDER / "alerts.test.yml").read_text())) <= known


def test_every_alert_is_tested_to_fire_and_not_to():
    tests = yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    names = {rule["alert"] for rule in alerts()}
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == names


# -- with Prometheus --------------------------------------------------------------------------


@pytest.fixture(scope="session")
def promtool() -> str:
    try:
        return (prometheus.find() or prometheus.install())[1]
    except prometheus.NoPrometheus as reason:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(reason))


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, **options)


@dataclass
class Watched:
    """A hub, and a Prometheus that scrapes it every second, configured as the example says."""

    hub: Hub
    url: str
    config: Path

    def get(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def value(self, expression: str) -> float:
        (one,) = self.query(expression)
        return float(one["value"][1])


POLICY = parse_policy(
    {
        "groups": {
            "*": {"limits": {"group.cost": "10 per month"}},
            # Two seconds of half a core: used up at once, upon which others are refused.
            "geo": {"limits": {"group.cpu": 8, "group.cpu-hours": "0.0003 per month"}},
        },
        "prices": [{"since": "2020-01-01", "cpu": 0.5, "memory": 0.25}],
    }
)


def config_blocks() -> str:
    """The configuration of the how-to that attaches us, lets Prometheus in, and names users."""
    pages = "".join((ROOT / "docs" / name).read_text() for name in ("how-to.md", "monitoring.md"))
    found = re.findall(r"```python\n(.*?)```", pages, re.DOTALL)
    about = ("load_subconfig", "PROMETHEUS_TOKEN", "metrics_per_user")
    return "\n".join(next(block for block in found if word in block) for word in about)


@pytest.fixture(scope="module")
def watched(start_hub, promtool, tmp_path_factory) -> Iterator[Watched]:
    os.environ["PROMETHEUS_TOKEN"] = TOKEN
    hub = start_hub("snippet", config=config_blocks())
    hub.ledger().apply(POLICY, "admin", "tests")
    assert hub.api("groups/geo", "POST").is_success
    for user in ("sam", "ada"):
        hub.login(user)
    assert hub.api("groups/geo/users", "POST", json={"users": ["sam", "ada"]}).is_success
    assert hub.api("users/sam/server", "POST").is_success
    wait_for("the server", lambda: hub.server("sam"))
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "jupyterhub-token").write_text(TOKEN)
    (folder / "alerts.yml").write_text((FOLDER / "alerts.yml").read_text())
    config = folder / "prometheus.yml"
    text = (FOLDER / "prometheus.yml").read_text().replace("hub.example.org", hub.url[7:])
    config.write_text(text.replace("scheme: https", "scheme: http").replace("30s", "1s"))
    with prometheus.running(folder, config) as url:
        found = Watched(hub, url, config)
        wait_for("both to be scraped", lambda: found.query("sum(up) == 2"))
        wait_for("a budget to be used up", lambda: hub.api("users/ada/server", "POST").is_error)
        used_up = 'jupyterhub_quota_limit_used_ratio{group="geo",window="month"} > 1'
        wait_for("that to be scraped", lambda: found.query(used_up))
        wait_for("a refusal", lambda: found.query("jupyterhub_quota_refusals_total"))
        time.sleep(10)  # for some samples of each
        yield found
        assert hub.api("users/sam/server", "DELETE").is_success


@pytest.mark.slow
def test_the_rules_hold_what_their_tests_say(promtool):
    for command in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts.test.yml")):
        done = run(promtool, *command, cwd=FOLDER)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_text_and_the_configuration_are_right_for_prometheus(promtool, watched):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    text = httpx.get(f"{watched.hub.base}services/quotas/metrics", headers=headers).text
    done = run(promtool, "check", "metrics", input=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run(promtool, "check", "config", watched.config)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_every_panel_shows_something(watched):
    empty = [name for name, asked in expressions().items() if not watched.query(asked)]
    assert not empty
    (variable,) = [
        one
        for one in json.loads(DASHBOARD.read_text())["templating"]["list"]
        if "refId" in str(one)
    ]
    match = re.fullmatch(r"label_values\((.*), group\)", variable["query"]["query"])
    assert match
    assert watched.get("label/group/values", **{"match[]": match[1]}) == ["*", "geo"]


@pytest.mark.slow
def test_every_alert_can_be_evaluated(watched):
    (group,) = watched.get("rules")["groups"]
    assert [rule["name"] for rule in group["rules"]] == [rule["alert"] for rule in alerts()]
    health = {rule["name"]: (rule["health"], rule.get("lastError")) for rule in group["rules"]}
    assert set(health.values()) == {("ok", None)}, health
    pending = {alert["labels"]["alertname"] for alert in watched.get("alerts")["alerts"]}
    assert pending == {"QuotaBudgetUsedUp"}


@pytest.mark.slow
def test_prometheus_comes_to_the_figures_of_the_ledger(watched):
    geo = 'group="geo",resource="cpu"'
    assert watched.value(f"jupyterhub_quota_in_use{{{geo}}}") == 0.5
    assert watched.value(f"rate(jupyterhub_quota_used_total{{{geo}}}[8s])") == pytest.approx(
        0.5, rel=0.1
    )
    cost = watched.value('jupyterhub_quota_in_use{group="*",resource="cost"}') * 3600
    assert cost == pytest.approx(0.5 * 0.5 + 0.5 * 0.25)
    of_sam = 'jupyterhub_quota_member_in_use{group="geo",user="sam",resource="memory"}'
    assert watched.value(of_sam) == 512 * 2**20
    spent = watched.value('jupyterhub_quota_month_cost{group="*"}')
    assert spent == pytest.approx(
        watched.hub.ledger().used("*", "", "cost", 0, time.time_ns() // 1000) / 3600 / 10**12,
        abs=cost / 3600 * 3,
    )


@pytest.mark.slow
def test_scrapes_have_no_gaps_and_make_no_new_series(watched):
    job = '{job="jupyterhub-quotas"}'
    series = watched.query('{__name__=~"up|jupyterhub_quota_.+",job="jupyterhub-quotas"}[8s]')
    samples = {json.dumps(one["metric"]): len(one["values"]) for one in series}
    assert len(samples) > 20
    assert len(set(samples.values())) == 1 and min(samples.values()) > 4, samples
    assert watched.value(f"min_over_time(up{job}[8s])") == 1
    assert watched.value(f"max_over_time(scrape_series_added{job}[8s])") == 0
    assert watched.value("max(resets(jupyterhub_quota_used_total[1m]))") == 0
