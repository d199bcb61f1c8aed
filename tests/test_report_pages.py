"""Reports in a real hub: the same to the unit on the page, in the CSV, by the API and by hand."""

from __future__ import annotations

import csv
import io
import json
import re
import time

import httpx
import pytest
import yaml
from test_reports import by_hand, subjects

from hub_quotas import storage_store
from hub_quotas.cli import main as hub_quotas
from hub_quotas.corrections import adjust
from hub_quotas.costs import MONEY, hours, money, month_span, parse_month
from hub_quotas.policy import parse_policy
from hub_quotas.quantities import HOUR
from hub_quotas.spending import spending_of_user
from hub_quotas.storage_charges import charge_some, note
from hub_quotas.storage_store import Directory, Mount
from hub_quotas.store import QuotaStore

POLICY = """
prices: [{since: 2026-01-01, cpu: 0.04, memory: 0.005, storage: 0.05}]
groups: {course: {managers: [prof-bo]}}
"""
MONTH = "2026-09"
"""One that is over, so that nothing changes while it is looked at."""
MONTHS_AGO = parse_month(MONTH)


@pytest.fixture(scope="module")
def hub(start_hub):
    """With a history in another hub's name, so that this one's reconciler leaves it alone."""
    hub = start_hub("formless", history="reports")
    store = QuotaStore(f"sqlite:///{hub.folder}/hub_quotas.sqlite", hub="elsewhere")
    store.apply(parse_policy(yaml.safe_load(POLICY)), "tests", "tests")
    begin, end = month_span(MONTHS_AGO, store.zone)
    for number in range(30):
        user, group = ("sam", "=kim")[number % 2], ("course", "course/lab", "other")[number % 3]
        amounts = {"servers": 1, "cpu": 1500, "memory": 2**31, "cost": 70_003 + number}
        since = begin - 5 * HOUR + number * 25 * HOUR
        store.adopt(f"s{number}", user, "", group, amounts, since)
        store.close_session(f"s{number}", "stopped", since + (number + 1) * HOUR + number)
    uses = [("user", "sam", 200 * 2**30), ("group", "course", 70 * 2**30)]
    with store.db.write() as tx:
        note(tx, "elsewhere", "homes", uses, begin + 3 * HOUR)
        note(tx, "elsewhere", "homes", [(*who, 0) for *who, _used in uses], end)
    charge_some(store, lambda kind, _name: "course/lab" if kind == "user" else "course", end, end)
    running = {"servers": 1, "cpu": 4000, "cost": 160_000}
    store.adopt("now", "sam", "lab", "course", running, time.time_ns() // 1000 - 2 * HOUR)
    yield hub
    store.close()


def exact(page: str) -> list[int]:
    """The amounts of a page, as programs read them."""
    return [int(value) for value in re.findall(r'<data value="(-?\d+)">', page)]


def costs_of(page: str, section: str) -> list[int]:
    """The cost of each line of a table of the report."""
    table = page.partition(f'<section aria-labelledby="{section}">')[2].partition("</section>")[0]
    assert "Cost</th>" in table
    hours = table.count("-hours</th>") + table.count("GiB-months")
    return [exact(row)[hours] for row in table.split("<tr>")[2:]]


def cost_by_hand(hub, group: str) -> int:
    store = hub.ledger()
    begin, end = month_span(MONTHS_AGO, store.zone)
    return by_hand(store, subjects(store)["", group], begin, end)


def headers(visitor) -> dict[str, str]:
    return {"Authorization": f"token {visitor.token()}"}


def test_page_csv_api_and_command_line_say_what_a_query_by_hand_says(hub, capsys):
    ada = hub.login("prof-ada")
    cost = cost_by_hand(hub, "course")
    assert cost > 0
    page = ada.get(f"services/quotas/reports/course?month={MONTH}")
    assert page.status_code == 200 and "course, September 2026" in page.text
    assert exact(page.text)[0] == cost
    for section in ("days", "groups", "members", "profiles"):
        assert sum(costs_of(page.text, section)) == cost, section
    assert len(costs_of(page.text, "days")) == 30 and len(costs_of(page.text, "groups")) == 2
    sent = ada.get(f"services/quotas/reports/course?month={MONTH}&format=csv")
    assert sent.headers["Content-Disposition"] == 'attachment; filename="course-2026-09.csv"'
    rows = list(csv.DictReader(io.StringIO(sent.text)))
    assert sum(int(row["cost_units"]) for row in rows) == cost
    api = f"{hub.base}services/quotas/api/reports/course"
    found = httpx.get(api, params={"month": MONTH}, headers=headers(ada)).json()
    assert int(found["total"]["cost"]["units"]) == int(found["net"]["units"]) == cost
    found["profiles"].append(found["storage"])
    for part in ("groups", "profiles", "days", "members"):
        assert sum(int(line["cost"]["units"]) for line in found[part]) == cost, part
    assert found["complete"] and found["currency"] == "€"
    text = httpx.get(f"{api}/csv", params={"month": MONTH}, headers=headers(ada))
    assert text.text == sent.text and text.headers["Content-Type"].startswith("text/csv")
    db = f"sqlite:///{hub.folder}/hub_quotas.sqlite"
    command = ["report", "--group", "course", "--month", MONTH, "--db", db]
    assert hub_quotas([*command, "--csv"]) == 0
    assert capsys.readouterr().out == sent.text
    assert hub_quotas([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["total"] == found["total"] and printed["days"] == found["days"]
    assert hub_quotas(command) == 0
    assert f"{cost / MONEY:.2f}" in capsys.readouterr().out


def test_storage_has_lines_of_its_own(hub):
    page = hub.login("prof-ada").get(f"services/quotas/reports/course?month={MONTH}").text
    months = 270 * (month_span(MONTHS_AGO, hub.ledger().zone)[1] - _begin(hub) - 3 * HOUR)
    assert f">{months / 730 / HOUR:.1f}</data>" in page, "GiB-months"
    assert "GiB-months of storage</th>" in page and "Of it storage</dt>" in page
    assert ">shared directories</th>" in page and ">storage</th>" in page
    rows = hub.login("admin").get(f"services/quotas/reports/*?month={MONTH}&format=csv").text
    stored = [row for row in csv.DictReader(io.StringIO(rows)) if row["kind"] == "storage"]
    about = [(row["user"], row["group"], row["note"]) for row in stored]
    assert about == [("", "course", "homes"), ("sam", "course/lab", "homes")]
    assert sum(float(row["storage_gib_hours"]) for row in stored) == months / HOUR


def test_what_my_home_and_my_group_come_to_in_this_month(hub):
    store = QuotaStore(f"sqlite:///{hub.folder}/hub_quotas.sqlite", hub="elsewhere")
    present = time.time_ns() // 1000
    with store.db.write() as tx:
        note(tx, "elsewhere", "homes", [("user", "admin", 2**40)], present - 2 * 24 * HOUR)
    mount = Mount("homes", "tests", 2**41, 2**40)
    storage_store.report(store, mount, [Directory("user", "admin", 2**40)])
    charge_some(store, lambda _kind, _name: "other", present, present)
    spent = spending_of_user(store, "admin")
    store.close()
    assert 0 < spent.storage == spent.so_far
    said = f"{hours('storage', spent.stored)} GiB-months, {money(spent.storage, '€')}."
    admin = hub.login("admin")
    assert f"My homes this month, up to midnight: {said}" in admin.get("services/quotas/").text
    assert said in admin.get("services/quotas/groups/other").text
    assert "Of it storage" in admin.get("services/quotas/reports").text


def _begin(hub) -> int:
    return month_span(MONTHS_AGO, hub.ledger().zone)[0]


def test_no_cell_of_the_csv_is_a_formula(hub):
    rows = hub.login("admin").get(f"services/quotas/reports/*?month={MONTH}&format=csv").text
    users = {row["user"] for row in csv.DictReader(io.StringIO(rows))}
    assert users == {"sam", "'=kim", ""}


def test_members_of_a_report_come_page_by_page(hub):
    api, token = f"{hub.base}services/quotas/api/reports/*", headers(hub.login("admin"))
    names, offset = [], 0
    while offset is not None:
        query = {"month": MONTH, "limit": 1, "offset": offset}
        found = httpx.get(api, params=query, headers=token).json()
        names += [line["name"] for line in found["members"]]
        offset = found["next"]
    assert sorted(names) == ["", "=kim", "sam"]


def test_what_a_running_server_and_its_member_cost(hub):
    api, token = f"{hub.base}services/quotas/api", headers(hub.login("prof-ada"))
    costs = httpx.get(f"{api}/groups/course/spending", headers=token).json()
    assert costs["per_hour"] == "0.160000"
    assert 0.32 <= float(costs["so_far"]["amount"]) < 0.34
    members = httpx.get(f"{api}/groups/course/spending/members", headers=token).json()
    assert {one["user"]: one["per_hour"] for one in members["items"]} == {
        "sam": "0.160000",
        "=kim": "0.000000",
    }
    servers = httpx.get(f"{api}/groups/course/spending/servers", headers=token).json()
    assert [(s["user"], s["server"], s["per_hour"]) for s in servers["items"]] == [
        ("sam", "lab", "0.160000")
    ]
    mine = httpx.get(f"{api}/me/spending", headers=headers(hub.login("sam"))).json()
    assert [group["group"] for group in mine["groups"]] == ["default"]
    page = hub.login("prof-ada").get("services/quotas/reports/course").text
    assert "0.16 €" in page and "Running now" in page and "Forecast for the month" in page


@pytest.mark.parametrize(
    ("user", "group", "status"),
    [
        ("admin", "*", 200),
        ("prof-ada", "course", 200),
        ("prof-bo", "course/lab", 200),
        ("prof-ada", "other", 404),
        ("prof-ada", "*", 404),
        ("prof-ada", "never-heard-of", 404),
        ("sam", "course", 404),
    ],
)
def test_only_who_may_see_a_group_sees_its_costs(hub, user, group, status):
    visitor = hub.login(user)
    name = group.replace("/", "%2F")
    base = "services/quotas"
    assert visitor.get(f"{base}/reports/{name}?month={MONTH}").status_code == status
    assert visitor.get(f"{base}/reports/{name}?format=csv").status_code == status
    if user != "sam":
        found = visitor.get(f"{base}/reports", params={"group": group, "month": MONTH})
        assert found.status_code == status
        assert (f'value="{group}"' in found.text) == (status == 404), "what was typed stays"
    token = headers(visitor)
    for path in (f"reports/{name}", f"reports/{name}/csv"):
        answer = httpx.get(f"{hub.base}{base}/api/{path}?month={MONTH}", headers=token)
        assert answer.status_code == status, (path, answer.text)
    for path in ("", "/members", "/servers"):
        address = f"{hub.base}{base}/api/groups/{name}/spending{path}"
        assert httpx.get(address, headers=token).status_code == status, path


def test_a_group_that_is_not_there_has_no_report_and_the_form_says_so(hub):
    admin = hub.login("admin")
    for typo in ("never-heard-of", "course/lap"):
        for address, query in (("", {"group": typo}), (f"/{typo}", {"format": "csv"})):
            page = admin.get(f"services/quotas/reports{address}", params={**query, "month": MONTH})
            assert page.status_code == 404
            assert f"There is no group called {typo} here." in page.text
            assert f'value="{typo}"' in page.text and f'value="{MONTH}"' in page.text
    for group in ("*", "default", "other", "course/lab", "course"):
        name = group.replace("/", "%2F")
        assert admin.get(f"services/quotas/reports/{name}?month={MONTH}").status_code == 200, group


def test_only_managers_and_admins_have_reports_at_all(hub):
    assert hub.login("sam").get("services/quotas/reports").status_code == 403
    page = hub.login("prof-ada").get("services/quotas/reports").text
    assert ">course</a>" in page and "other" not in page and "The whole hub" not in page
    assert "The whole hub" in hub.login("admin").get("services/quotas/reports").text


def test_what_is_not_a_month_is_said_and_what_was_typed_stays(hub):
    admin = hub.login("admin")
    wrong = {"group": "course", "month": "2026-13"}
    for path, query in (("reports", wrong), ("reports/course", {"month": "2026-13"})):
        page = admin.get(f"services/quotas/{path}", params=query)
        assert page.status_code == 400
        assert "&#39;2026-13&#39; is not a month; write year and month: 2026-10." in page.text
        assert 'value="course"' in page.text and 'value="2026-13"' in page.text
    ahead = admin.get("services/quotas/reports/course?month=2999-12")
    assert "The month has not begun yet." in ahead.text and "Month after" not in ahead.text
    nowhere = admin.get("services/quotas/reports", params={"group": " ", "month": MONTH})
    assert nowhere.status_code == 400
    address = f"{hub.base}services/quotas/api/reports/course"
    for query in ({"month": "2026-13"}, {}, {"month": MONTH, "limit": 0}):
        answer = httpx.get(address, params=query, headers=headers(admin))
        assert answer.status_code == 400, query


def test_a_credit_has_a_line_of_its_own_and_is_taken_off_the_sum(fresh_hub):
    hub = fresh_hub("formless")
    admin = hub.login("admin")
    store = hub.ledger()
    page = admin.get("services/quotas/reports/course").text
    assert "No prices are set" in page and "Nothing was used" in page and " €" not in page
    assert "No prices are set" in admin.get("services/quotas/reports").text
    store.apply(parse_policy(yaml.safe_load(POLICY)), "tests", "tests")
    adjust(store, "course", "", "cost", 2 * MONEY, "admin", "-1 day: the hub was down")
    adjust(store, "course", "sam", "cpu", 3000 * HOUR, "admin", "a node died")
    page = admin.get("services/quotas/reports/course").text
    assert "No prices are set" not in page
    assert exact(page)[:3] == [0, -2 * MONEY, -2 * MONEY], "cost, credit, to pay"
    assert "-1 day: the hub was down" in page and "sam in course" in page
    assert "3.0 CPU-hours" in page
    rows = admin.get("services/quotas/reports/course?format=csv").text
    (row,) = csv.DictReader(io.StringIO(rows))
    assert (row["kind"], row["cost"], row["cost_units"]) == ("credit", "-2.000000", f"{-2 * MONEY}")
    assert row["note"] == "admin: -1 day: the hub was down"


def test_the_page_in_a_browser(hub, new_page):
    page = new_page(viewport={"width": 320, "height": 700})
    errors = []  # the hub's own pages log what they do, as `log`
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.goto(f"{hub.base}hub/login?next=/hub/token")  # not to a server that starts
    page.fill("#username_input", "admin")
    page.click("#login_submit")
    page.wait_for_url("**/hub/token")
    page.goto(f"{hub.base}services/quotas/reports")
    page.get_by_role("combobox", name="Group").fill("course")
    page.get_by_role("textbox", name="Month").fill(MONTH)
    page.get_by_role("button", name="Show").click()
    page.get_by_role("heading", name="course, September 2026").wait_for()
    assert page.url.endswith(f"reports/course?month={MONTH}")
    picture = page.get_by_role("img", name="Cost of each day")
    bars = picture.locator("rect")
    assert bars.count() == 30
    assert max(bar.bounding_box()["height"] for bar in bars.all()) > 100
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    page.get_by_role("link", name="Month before").click()
    page.get_by_role("heading", name="course, August 2026").wait_for()
    assert errors == []
    page.emulate_media(media="print")
    assert not page.locator(".navbar").is_visible()
    assert not page.get_by_role("link", name="Download as CSV").is_visible()
