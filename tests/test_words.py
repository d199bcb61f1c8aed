"""Everything that people read is in the catalogue, and German has all of it."""

from __future__ import annotations

import asyncio
import gettext
import html
import io
import re
import runpy
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import yaml
from hubs import ROOT, Hub, Visitor, wait_for
from templates import untranslated
from threads import in_a_thread

from hub_groups import words
from hub_groups.web import template_environment
from hub_quotas.off_loop import off_loop
from hub_quotas.policy import parse_policy
from hub_quotas.quantities import RESOURCES, say_duration

CATALOGUE = SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "translations.py")))
OUT_OF_DATE = "out of date; run: make translations"
OTHERS = [language for language in words.LANGUAGES if language != "en"]
TEMPLATES = sorted(
    path for package in CATALOGUE.PACKAGES for path in (ROOT / package / "templates").glob("*.html")
)
# All but its frame is the description of an API, which is in English, and says so (`lang`).
IN_ENGLISH = "reference.html"


def plurals(message) -> list[str]:
    return [message.id] if isinstance(message.id, str) else list(message.id)


def holes(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)[^}]*\}|%\((\w+)\)s|<(/?\w+)", text))


# -- the catalogue ------------------------------------------------------------------------------


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalogue_has_what_the_code_says_and_nothing_else(language):
    code = {(m.context, *plurals(m)) for m in CATALOGUE.extracted() if m.id}
    catalogue = {(m.context, *plurals(m)) for m in CATALOGUE.read(language) if m.id}
    assert code == catalogue, OUT_OF_DATE
    assert len(code) > 600


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_is_complete_and_fills_in_the_same(language):
    catalogue = CATALOGUE.read(language)
    forms = catalogue.num_plurals
    for message in (m for m in catalogue if m.id):
        translations = CATALOGUE.translations(message)
        assert not message.fuzzy, message.id
        assert len(translations) == (1 if isinstance(message.id, str) else forms), message.id
        for text in translations:
            assert text, f"{message.id!r} is not translated"
            # Singulars may leave out the number: "in any day".
            wanted = holes(plurals(message)[-1]) if len(translations) > 1 else holes(message.id)
            least = holes(plurals(message)[0]) if text == translations[0] else wanted
            assert least <= holes(text) <= wanted, message.id
            source = plurals(message)[0]
            assert text[:1].isspace() == source[:1].isspace(), message.id
            assert text[-1:].isspace() == source[-1:].isspace(), message.id


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_installed_is_compiled_from_it(language):
    file = CATALOGUE.file_of(language).with_suffix(".mo")
    now = gettext.GNUTranslations(io.BytesIO(CATALOGUE.compiled(CATALOGUE.read(language))))
    with file.open("rb") as compiled:
        there = gettext.GNUTranslations(compiled)
    without_head = [{k: v for k, v in t._catalog.items() if k} for t in (now, there)]
    assert without_head[0] == without_head[1], OUT_OF_DATE


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_says_nothing_that_is_not_in_it(path):
    found = untranslated(path.read_text())
    assert bool(found) == (path.name == IN_ENGLISH), found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>Hello there</p>", ["Hello there"]),
        ("<p>{{ _('Hello there') }}</p>", []),
        ("<p>{{ _('Hello %(you)s', you=name) }} again</p>", ["again"]),
        ('<a title="Hello">{{ name }}</a>', ["Hello"]),
        ('<form data-ask="Sure?"></form>', ["Sure?"]),
        ("{% trans %}Hello <b>you</b>{% endtrans %}", []),
        ('<p>{{ "Hello" if x else _("Bye") }}</p>', ["Hello"]),
        ('<p>{{ table(rows, "All groups") }}</p>', ["All groups"]),
        ('<p class="big{{ " is-invalid" if x }}"><code>member.servers</code></p>', []),
        ("{# Hello #}<script>let hello</script>", []),
    ],
)
def test_text_in_a_template_is_found(source, found):
    assert untranslated(source) == found


# -- a language is that of a request ------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH,de;q=0.9,en;q=0.8", "de"),
        ("en-GB,en;q=0.9,de;q=0.8", "en"),
        ("fr,de;q=0.5,en;q=0.4", "de"),
        ("en;q=0.4,de;q=0.5", "de"),
        ("fr", "en"),
        ("../de", "en"),
        ("de;q=x", "en"),
    ],
)
def test_a_browser_chooses_the_language(accepted, language):
    assert words.choose(accepted) == language


def test_amounts_are_said_in_the_language_that_is_spoken_when_they_are_said():
    cpu, servers, hours = (RESOURCES[name] for name in ("cpu", "servers", "gpu-hours"))
    hour = 3_600_000_000

    def said() -> list[str]:
        return [
            *(cpu.say(1000), cpu.say(500), servers.say(1), servers.say(3)),
            *(hours.say(40 * hour), say_duration(72 * hour), RESOURCES["memory"].say(2**31)),
        ]

    german = ["1 Kern", "0.5 Kerne", "1 Server", "3 Server", "40 GPU-Stunden", "3 Tage", "2 GiB"]
    assert words.speaking("de", said) == german
    english = ["1 core", "0.5 cores", "1 server", "3 servers", "40 GPU-hours", "3 days", "2 GiB"]
    assert said() == english
    assert words.speaking("de", lambda: words.in_english(said)) == english


@in_a_thread
async def test_a_thread_speaks_the_language_of_whom_it_works_for():
    async def request(language: str) -> set[str]:
        words.speak(language)
        return {await off_loop(words.language) for _ in range(20)}

    assert await asyncio.gather(*map(request, ["de", "en"] * 8)) == [{"de"}, {"en"}] * 8
    assert words.language() == "en"
    assert await off_loop(words.language) == "en"


def test_templates_are_translated_when_they_are_shown_not_when_they_are_read():
    template = template_environment(["hub_groups"]).from_string("{{ _('Groups') }}")
    shown = words.speaking("de", template.render), template.render()
    assert shown == ("Gruppen", "Groups")


# -- on a hub -----------------------------------------------------------------------------------

TREE = """
plans: {small: {limits: {server.memory: 1G}}}
prices: [{since: 2020-01-01, cpu: 0.05, memory: 0.01}]
groups:
  course:
    plan: small
    limits: {member.servers: 1, group.cpu-hours: 2000 per month, server.lifetime: 8h}
    boosts: [{limit: server.memory, amount: 2G, until: 2999-01-01}]
"""

PAGES = {
    "services/quotas/": "Was ich jetzt starten könnte",
    "services/quotas/ask": "Wie viel insgesamt nötig ist",
    "services/quotas/groups": "Gruppen und Limits",
    "services/quotas/groups/course": "CPU-Stunden, ganze Gruppe",
    "services/quotas/groups/*": "Der ganze Hub",
    "services/quotas/boosts?group=course": "Eine Erhöhung gilt eine Zeit lang",
    "services/quotas/asks": "Keine Anfrage wartet auf Antwort",
    "services/quotas/plans": "Ein Plan ist ein benannter Satz von Limits",
    "services/quotas/prices": "Was je eine Stunde kostet",
    "services/quotas/policy": "Regeln importieren",
    "services/quotas/audit": "Rückgängig machen",
    "services/quotas/reports": "Jede Gruppe, jeder Monat",
    "services/quotas/reports/course?month=2026-02": "Februar 2026",
    "services/quotas/nowhere": "Diese Seite gibt es nicht.",
    "services/groups/": "Meine Gruppen",
    "services/launch/": "Den Link erstellen",
    "services/launch/open?repo=https://git.invalid/r": "niemandem, den dieser Hub kennt",
    "services/launch/open?file=/etc/passwd": "ist kein Pfad innerhalb des Repositorys",
}
HUB_PAGES = {
    "hub/home": "Server, für mich: noch 0 Server",
    "hub/spawn/{user}/two": "course: gleichzeitig höchstens 1 Server pro Mitglied",
}


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    hub = start_hub("form", slow_spawn_timeout=10)
    hub.ledger().apply(parse_policy(yaml.safe_load(TREE)), "tests", "tests")
    hub.api("groups/course", "POST")
    return hub


def a_reader(hub: Hub, name: str, language: str) -> Visitor:
    """Somebody in the group `course` with one server, which is all that it allows."""
    reader = hub.login(name)
    reader.headers["Accept-Language"] = language
    assert hub.api("groups/course/users", "POST", json={"users": [name]}).is_success
    if not hub.server(name):
        assert hub.api(f"users/{name}/server", "POST").is_success
        wait_for("the first server", lambda: hub.server(name))
    return reader


def text_of(page: str) -> str:
    """What a page says, without tags, and without what is in English by intent."""
    page = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL)
    page = re.sub(r"</?(strong|time|span|code)\b[^>]*>", "", page)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "\n", page)).split(" "))


@pytest.fixture(scope="module")
def admin(hub) -> Visitor:
    return a_reader(hub, "admin", "de-DE,de;q=0.9,en;q=0.5")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_all_in_german(admin, path):
    answer = admin.get(path)
    assert '<html lang="de">' in answer.text
    said = text_of(answer.text)
    assert PAGES[path] in said
    lines = {line.strip() for line in said.splitlines()}
    for message in CATALOGUE.read("de"):
        for source in plurals(message) if message.id else []:
            if " " in source and source not in CATALOGUE.translations(message):
                assert source not in lines, source


@pytest.mark.parametrize("path", HUB_PAGES)
def test_the_hub_s_own_pages_say_our_part_in_german(admin, path):
    page = admin.get(path.format(user=admin.user)).text
    assert 'lang="de"' in page
    assert HUB_PAGES[path] in text_of(page)


def test_who_asks_for_english_gets_it(hub):
    reader = a_reader(hub, "reader", "en-GB,en;q=0.9,de;q=0.5")
    page = reader.get("services/quotas/").text
    assert '<html lang="en">' in page
    assert "What I could start now" in page
    assert "Servers, me: 0 servers left" in text_of(reader.get("hub/home").text)


def test_each_of_many_who_are_refused_at_once_reads_why_in_their_language(hub):
    said = {
        "de": "course: gleichzeitig höchstens 1 Server pro Mitglied; eigene laufen schon: 1.",
        "en": "course allows each member 1 server at once, and you have 1 running.",
    }
    whom = {"de": "Mehr gibt es auf Anfrage bei prof-ada", "en": "To get more, ask prof-ada"}
    people = [a_reader(hub, f"{lang}-{n}", lang) for n in range(3) for lang in said]

    # Each time another server: the hub answers 400 while one and the same is asked for already.
    asked = [(person, f"server-{n}") for n in range(3) for person in people]

    def refused(person: Visitor, server: str) -> tuple[str, str]:
        page = person.send_form(f"hub/spawn/{person.user}/{server}", memory="256M")
        if page.status_code == 200:  # after a second, a busy hub says that it is starting
            pending = f"hub/spawn-pending/{person.user}/{server}"
            page = wait_for(
                "the reason", lambda: (a := person.get(pending)).status_code != 200 and a
            )
        return person.headers["Accept-Language"], html.unescape(page.text)

    with ThreadPoolExecutor(len(people)) as threads:
        answers = [*threads.map(refused, *zip(*asked, strict=True))]
    assert len(answers) == 18
    for language, page in answers:
        other = "en" if language == "de" else "de"
        assert said[language] in page
        assert whom[language] in page
        assert said[other] not in page


def test_what_is_refused_by_api_is_said_in_the_language_of_the_request(hub):
    reader = a_reader(hub, "scripted", "de")
    token = {"Authorization": f"token {reader.token()}"}
    path = f"hub/api/users/{reader.user}/servers/two"
    answer = reader.post(path, headers=token)
    assert answer.status_code == 403
    assert "gleichzeitig höchstens 1 Server pro Mitglied" in answer.json()["message"]
    answer = reader.post(path, headers={**token, "Accept-Language": "fr"})
    assert "course allows each member 1 server at once" in answer.json()["message"]


def test_what_is_stored_is_in_english_whoever_did_it(hub, admin):
    admin.get("services/quotas/audit")
    form = {"_xsrf": admin.xsrf("/services/quotas"), "new_key": "member.cpu", "new_amount": "2"}
    assert admin.post("services/quotas/groups/arts", data=form).is_success
    version = hub.ledger().held().versions["group", "arts"]
    form = {"_xsrf": admin.xsrf("/services/quotas"), "version": str(version)}
    assert "wieder wie vorher" in admin.post("services/quotas/audit", data=form).text
    assert hub.ledger().audit(most=1)[0].by.why == f"undo of change {version}"
