"""What `share-links check` finds: each fault in a book that has it, and nothing in a clean one."""

from __future__ import annotations

import json
import re
import shutil
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from books import TOC_BOOK, notebook, write_book
from gitserver import SETTINGS, GitServer, commit, git, open_git_server
from hubs import TOKEN

from share_links.cli import DONE, FOUND, UNUSABLE, main
from share_links.findings import KINDS
from share_links.hub_answers import Answer, HubError, HubOverHttp, ask_hub
from share_links.launch import Environment, Launch

HUB = "https://hub.example.org/"
CLEAN = """\
hubs:
  - {label: Our hub, url: "https://hub.example.org/"}
  - {label: Older hub, url: "https://old.example.org/", form: spawn}
environment: {profile: small}
pages:
  - {match: gpu/*, environment: {profile: gpu}}
"""


@dataclass
class Seeded:
    """A book in a clone, and where it is published.

    Attributes:
        book: the folder of the book, `docs/book` in the clone `work`.
    """

    work: Path
    server: GitServer
    cache: Path
    repository: str = ""

    @property
    def book(self) -> Path:
        return self.work / "docs" / "book"

    def settings(self, old: str, new: str) -> None:
        file = self.book / "share_links.yml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    def more(self, text: str) -> None:
        file = self.book / "share_links.yml"
        file.write_text(file.read_text() + text)

    def write(self, name: str, text: str) -> None:
        (self.book / name).write_text(text)

    def publish(self) -> None:
        commit(self.work, {})
        self.server.publish(self.work, "geo-book")


@pytest.fixture
def server(tmp_path):
    with open_git_server(tmp_path / "served") as server:
        yield server


@pytest.fixture
def seeded(tmp_path, server, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    seeded = Seeded(tmp_path / "work", server, tmp_path / "cache")
    fine = "https://hub.example.org/hub/user-redirect/git-pull?" + pulled(
        server.url("geo-book"), "lab/tree/geo-book/docs/book/text.md"
    )
    other = "https://hub.example.org/hub/user-redirect/git-pull?" + pulled(
        server.url("geo-book"), "lab/tree/other/docs/book/text.md", targetPath="other"
    )
    links = (
        f"# Links\n\n[By hand]({fine}), <{other}>.\n\n```{{launch}} intro/first map.ipynb\n```\n"
    )
    write_book(seeded.book, {"_toc.yml": TOC_BOOK, "share_links.yml": CLEAN, "links.md": links})
    commit(seeded.work, {"README.md": "A book"})
    seeded.repository = server.publish(seeded.work, "geo-book")
    return seeded


def pulled(repository: str, path: str, **more: str) -> str:
    pairs = {"repo": repository, "branch": "main", "urlpath": path, **more}
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs.items())


@pytest.fixture
def check(capsys):
    """The exit code, and the findings as (code, page)."""

    def check(book: Path, *words: str) -> tuple[int, list[tuple[str, str]]]:
        code = main(["check", str(book), "--format", "json", *words])
        found = json.loads(capsys.readouterr().out)["findings"]
        assert all(one["message"].endswith(".") and one["fix"].endswith(".") for one in found), (
            found
        )
        return code, [(one["code"], one["page"]) for one in found]

    return check


def test_a_clean_book_has_no_findings(seeded, check, capsys):
    assert check(seeded.book) == (DONE, [])
    assert main(["check", str(seeded.book)]) == DONE
    assert capsys.readouterr().out == "Nothing found in 10 pages.\n"


# -- faults ----------------------------------------------------------------------------------------

GIT_PULL = "https://hub.example.org/hub/user-redirect/git-pull?"
SPAWN = "https://hub.example.org/hub/spawn?"
PLACE = "https://github.com/earth/none"


def by_hand(link: str) -> Callable[[Seeded], None]:
    def seed(book: Seeded) -> None:
        text = f"# About\n\n[Open]({link.replace('REPO', quote(book.repository, safe=''))})\n"
        book.write("gpu/about.md", text)
        book.publish()

    return seed


def unreachable(book: Seeded) -> None:
    book.more("content: {repository: 'http://127.0.0.1:9/geo-book', ref: main}\n")


def behind_a_login(book: Seeded) -> None:
    book.more(f"content: {{repository: '{book.server.private_url('geo-book')}', ref: main}}\n")


def no_such_branch(book: Seeded) -> None:
    book.more("content: {ref: never}\n")


def no_such_commit(book: Seeded) -> None:
    book.more(f"content: {{ref: '{'1' * 40}'}}\n")


def not_pushed_yet(book: Seeded) -> None:
    book.write("intro/new.ipynb", notebook("# New"))


def in_other_letters(book: Seeded) -> None:
    git(book.work, "mv", "docs/book/gpu/train.ipynb", "docs/book/gpu/Train.ipynb")
    book.publish()
    git(book.work, "mv", "docs/book/gpu/Train.ipynb", "docs/book/gpu/train.ipynb")


def another_folder(book: Seeded) -> None:
    book.more("content: {subfolder: book}\n")


def not_in_the_folder(book: Seeded) -> None:
    book.write("_toc.yml", TOC_BOOK.replace("file: named", "file: nmaed"))


def no_page_like_that(book: Seeded) -> None:
    book.settings("gpu/*", "gqu/*")


def form_without_environment(book: Seeded) -> None:
    book.settings("form: spawn", "form: nbgitpuller")


def colab_of_another_host(book: Seeded) -> None:
    book.settings('"https://old.example.org/", form: spawn', "'', form: colab")


def bad_frontmatter(book: Seeded) -> None:
    book.write("own.md", "---\nshare_links: {enviroment: x}\n---\n# Own\n")
    book.publish()


def directive_of_nothing(book: Seeded) -> None:
    book.write("gpu/about.md", "# A\n\n```{launch} gone.ipynb\n```\n")
    book.publish()


def broken_notebook(book: Seeded) -> None:
    book.write("off.ipynb", "<<<<<<< HEAD")
    book.publish()


def not_committed(book: Seeded) -> None:
    book.write("gpu/train.ipynb", notebook("# Otherwise"))


def not_pushed(book: Seeded) -> None:
    commit(book.work, {"README.md": "More"})


def old_table(book: Seeded) -> None:
    assert main(["build", str(book.book)]) == 0
    book.more("language: de\n")


ABOUT, TRAIN, YML = "gpu/about.md", "gpu/train.ipynb", "share_links.yml"
TEXT = "lab/tree/geo-book/docs/book/text.md"
OF_GIT = "repo=REPO.git&branch=main&urlpath=" + quote(TEXT, safe="")
NEXT = quote("/hub/user-redirect/git-pull?repo=REPO&branch=main&urlpath=lab", safe="")

FAULTS: list[tuple[str, str, Callable[[Seeded], None]]] = [
    ("SL101", YML, unreachable),
    ("SL101", ABOUT, by_hand(GIT_PULL + pulled("http://127.0.0.1:9/x", "lab"))),
    ("SL102", YML, behind_a_login),
    ("SL103", YML, no_such_branch),
    ("SL103", YML, no_such_commit),
    ("SL103", ABOUT, by_hand(GIT_PULL + "repo=REPO&branch=none&urlpath=lab")),
    ("SL104", "intro/new.ipynb", not_pushed_yet),
    ("SL104", TRAIN, in_other_letters),
    ("SL104", ABOUT, by_hand(GIT_PULL + "repo=REPO&branch=main&urlpath=lab/tree/geo-book/no.md")),
    ("SL105", YML, another_folder),
    ("SL106", "nmaed", not_in_the_folder),
    ("SL107", YML, no_page_like_that),
    ("SL108", "intro/first map.ipynb", form_without_environment),
    ("SL108", "intro/first map.ipynb", colab_of_another_host),
    ("SL109", "own.md", bad_frontmatter),
    ("SL109", ABOUT, directive_of_nothing),
    ("SL109", "off.ipynb", broken_notebook),
    ("SL110", TRAIN, not_committed),
    ("SL111", YML, not_pushed),
    ("SL112", "share_links.json", old_table),
    ("SL201", ABOUT, by_hand(SPAWN + "opt-profile=gpu&next=https%3A%2F%2Fevil.example.org%2F")),
    ("SL201", ABOUT, by_hand("https://hub.example.org/services/launch/open?rpeo=x")),
    ("SL202", ABOUT, by_hand(SPAWN + f"opt-profile=gpu&image=x&next={NEXT}")),
    ("SL203", ABOUT, by_hand(GIT_PULL + "repo=https%253A%252F%252Fgithub.com%252Fa%252Fb")),
    ("SL203", ABOUT, by_hand(SPAWN + "opt-profile=gpu&next=%252Fhub%252Fuser-redirect%252Flab")),
    ("SL204", ABOUT, by_hand(GIT_PULL + OF_GIT)),
    ("SL205", ABOUT, by_hand("http://hub.example.org/hub/spawn?opt-profile=gpu")),
    ("SL206", ABOUT, by_hand(GIT_PULL + "repo=REPO&branch=main&urlpath=lab/tree/geo-book/a b.md")),
    ("SL206", ABOUT, by_hand(GIT_PULL + "repo=REPO&branch=main&urlpath=lab/tree/geo-book/a#b.md")),
    ("SL207", ABOUT, by_hand(GIT_PULL + "repo=REPO&branch=main&urlpath=lab&opt-profile=gpu")),
]


@pytest.mark.parametrize(
    ("code", "page", "seed"), FAULTS, ids=[f"{code}-{n}" for n, (code, *_) in enumerate(FAULTS)]
)
def test_each_fault_is_found(seeded, check, code, page, seed):
    seed(seeded)
    returned, found = check(seeded.book)
    assert (code, page) in found
    # And little else: what goes with it, such as a file that is not there where a name is cut.
    assert len({one for one, _page in found}) <= 2, found
    errors = any(KINDS[one].severity == "error" for one, _page in found)
    assert returned == (FOUND if errors else DONE)


def test_all_kinds_of_findings_are_tried():
    tried = {code for code, *_ in FAULTS}
    assert tried == {code for code in KINDS if code < "SL300"}


# -- repositories ----------------------------------------------------------------------------------


def test_a_copy_without_git_is_checked_too_and_fetches_each_commit_once(seeded, check, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(seeded.book, copy)
    where = f"content: {{repository: '{seeded.repository}', ref: main, subfolder: docs/book}}\n"
    (copy / "share_links.yml").write_text(CLEAN + where)
    assert check(copy) == (DONE, [])
    seeded.server.requests.clear()
    assert check(copy) == (DONE, [])
    asked = [one for one in seeded.server.requests if one.startswith("POST")]
    assert len(asked) == 1, "what the branch is at, and no more"
    size = sum(f.stat().st_size for f in seeded.cache.rglob("*.pack"))
    assert 0 < size < 10_000
    commit(seeded.work, {"docs/book/gpu/train.ipynb": "{}", "docs/book/x": "y"})
    git(seeded.work, "rm", "-q", "docs/book/text.md")
    seeded.publish()
    assert ("SL104", "text.md") in check(copy)[1], "the branch has moved"


@pytest.mark.parametrize("kind", ["dumb_url", "url"])
@pytest.mark.parametrize("ref", ["größe/2", "v1", "COMMIT"])
@pytest.mark.parametrize("by_name", ["true", "false"], ids=["by name", "tips only"])
def test_branches_tags_and_commits_of_each_kind_of_server(
    seeded, check, tmp_path, monkeypatch, kind, ref, by_name
):
    monkeypatch.setitem(SETTINGS, "uploadpack.allowAnySHA1InWant", by_name)
    if by_name == "false":  # the newer protocol knows no such setting
        for name, value in (("COUNT", "1"), ("KEY_0", "protocol.version"), ("VALUE_0", "0")):
            monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    at = commit(seeded.work, {"docs/book/ä.md": "ä"}, "größe/2")
    commit(seeded.work, {"docs/book/more.md": "more"}, "größe/2")
    git(seeded.work, "tag", "-a", "-m", "One", "v1")
    seeded.server.publish(seeded.work, "geo-book")
    copy = tmp_path / "copy"
    shutil.copytree(seeded.book, copy)
    address, ref = getattr(seeded.server, kind)("geo-book"), at if ref == "COMMIT" else ref
    where = f"content: {{repository: '{address}', ref: '{ref}', subfolder: docs/book}}\n"
    (copy / "share_links.yml").write_text(CLEAN + where)
    code, found = check(copy)
    assert code == DONE
    # nbgitpuller, which links of the form spawn go to, knows no commits.
    assert {one for one, _page in found} == ({"SL108"} if ref == at else set())


def test_no_address_or_ref_is_taken_for_an_option(seeded, check, tmp_path, capsys):
    for content in ("{repository: '--upload-pack=touch hacked'}", "{ref: '--output=hacked'}"):
        (seeded.book / "share_links.yml").write_text(f"{CLEAN}content: {content}\n")
        assert main(["check", str(seeded.book)]) == UNUSABLE
        assert "share_links.yml, line 7: content: '--" in capsys.readouterr().err
    seeded.write("share_links.yml", CLEAN)
    link = "[x](https://hub.example.org/hub/user-redirect/git-pull?repo=ext%3A%3Ash%20-c%20touch)"
    seeded.write(ABOUT, link)
    assert ("SL201", ABOUT) in check(seeded.book)[1]
    assert not list(tmp_path.rglob("hacked"))


# -- formats ---------------------------------------------------------------------------------------


def test_the_table_names_page_and_fix(seeded, capsys):
    by_hand("http://hub.example.org/hub/spawn?opt-profile=gpu")(seeded)
    not_in_the_folder(seeded)
    assert main(["check", str(seeded.book)]) == FOUND
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("nmaed           SL106 error    The table of contents names nmaed")
    assert lines[1].strip() == "Take it out, or put the file there."
    assert lines[2].startswith("gpu/about.md:3  SL205 warning  The link to hub.example.org is http")
    assert lines[-1] == "1 error, 1 warning in 9 pages."


def test_junit_has_a_case_for_each_page_and_a_failure_for_each_error(seeded, capsys):
    by_hand("http://hub.example.org/hub/spawn?opt-profile=gpu")(seeded)
    not_pushed_yet(seeded)
    assert main(["check", str(seeded.book), "--format", "junit"]) == FOUND
    root = ET.fromstring(capsys.readouterr().out)
    (suite,) = root.iter("testsuite")
    cases = list(suite.iter("testcase"))
    assert (suite.get("tests"), suite.get("failures")) == ("11", "1") == (str(len(cases)), "1")
    (failure,) = suite.iter("failure")
    assert failure.get("type") == "SL104"
    assert "Commit and push it." in failure.text
    (noted,) = suite.iter("system-out")
    assert noted.text.startswith("The link to hub.example.org is http")


def test_sarif_names_the_place_in_the_repository(seeded, capsys):
    by_hand("http://hub.example.org/hub/spawn?opt-profile=gpu")(seeded)
    seeded.write("intro/größe.ipynb", notebook("# Otherwise"))
    assert main(["check", str(seeded.book), "--format", "sarif"]) == DONE
    document = json.loads(capsys.readouterr().out)
    (run,) = document["runs"]
    assert document["version"] == "2.1.0"
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == KINDS.keys()
    places = {
        (result["ruleId"], result["level"]): result["locations"][0]["physicalLocation"]
        for result in run["results"]
    }
    assert places[("SL205", "warning")] == {
        "artifactLocation": {"uri": "docs/book/gpu/about.md"},
        "region": {"startLine": 3},
    }
    uri = places[("SL110", "warning")]["artifactLocation"]["uri"]
    assert uri == quote("docs/book/intro/größe.ipynb")


# -- the hub ---------------------------------------------------------------------------------------


class FakeHub:
    """What a hub may answer, also where no real one would; `test_a_real_hub_is_asked` asks one."""

    def __init__(self, version="6.1.1", resolves=True, answer=None) -> None:
        self.said, self.there, self.answer = version, resolves, answer or Answer(pulls=True)
        self.asked: list[Launch] = []

    def version(self) -> str:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    def resolves(self) -> bool:
        return self.there

    def ask(self, launch: Launch) -> Answer:
        self.asked.append(launch)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def no_profile() -> FakeHub:
    return FakeHub(answer=Answer(("There is no profile 'gpu'.",), pulls=None))


@pytest.mark.parametrize(
    ("hub", "code", "page"),
    [
        (FakeHub(version=HubError("refused")), "SL301", YML),
        (FakeHub(version="5.2.1"), "SL302", ABOUT),
        (FakeHub(resolves=False), "SL303", YML),
        (no_profile(), "SL304", TRAIN),
        (FakeHub(answer=Answer(pulls=False)), "SL305", TRAIN),
        (FakeHub(answer=HubError("it answered 403 Forbidden")), "SL306", YML),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_the_hub_says_is_told(seeded, check, monkeypatch, hub, code, page):
    monkeypatch.setattr("share_links.cli.HubOverHttp", lambda _hub, _token: hub)
    by_hand(SPAWN + f"opt-profile=gpu&next={quote('/hub/user-redirect/lab', safe='')}")(seeded)
    assert check(seeded.book) == (DONE, [])
    _code, found = check(seeded.book, "--hub", HUB)
    assert (code, page) in found
    assert {one for one, _page in found} == {code}


def test_the_hub_is_asked_once_for_each_environment(seeded, check, monkeypatch, tmp_path):
    hub = FakeHub()
    monkeypatch.setattr("share_links.cli.HubOverHttp", lambda _hub, _token: hub)
    assert check(seeded.book, "--hub", HUB) == (DONE, [])
    assert sorted(one.environment.profile for one in hub.asked) == ["", "gpu", "large", "small"]


def test_a_hub_that_the_book_does_not_name_is_no_hub_to_ask(seeded, capsys):
    assert main(["check", str(seeded.book), "--hub", "https://x.example.org"]) == UNUSABLE
    assert "share_links.yml names no https://x.example.org/; it names" in capsys.readouterr().err
    assert main(["check", str(seeded.book), "--token-file", "x"]) == UNUSABLE
    with pytest.raises(SystemExit) as stopped:
        main(["check", str(seeded.book), "--hub", "ftp://x"])
    assert stopped.value.code == UNUSABLE


@pytest.mark.slow
def test_real_hubs_say_their_version_and_whether_they_resolve(start_hub):
    ours, bare = (HubOverHttp(start_hub(world).base, TOKEN) for world in ("base", "bare"))
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", ours.version())
    assert (ours.resolves(), bare.resolves()) == (True, False)
    with pytest.raises(HubError, match="it answered 40[34]"):
        bare.ask(Launch())
    with pytest.raises(HubError, match="refused"):
        HubOverHttp("http://127.0.0.1:9/").version()


def test_a_real_hub_is_asked(start_hub):
    hub = start_hub("launches")
    token = hub.login("sam").token("access:services!service=launch", "read:servers!user")
    assert ask_hub(hub.base, token, Launch(environment=Environment("small"))).problems == ()
    answer = ask_hub(hub.base, token, Launch(environment=Environment("huge")))
    assert answer.problems[0].startswith("This hub can't start what the link asks for")
    lesser = hub.login("sam").token("access:services!service=launch")
    with pytest.raises(HubError, match="403 Forbidden: This token may not see the servers"):
        ask_hub(hub.base, lesser, Launch())


@pytest.mark.parametrize("said", ["[]", '{"problems": 3}', '{"nbgitpuller": "yes"}', "<html>"])
def test_an_answer_that_is_none(said):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said.encode())

        def log_message(self, *_words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    with pytest.raises(HubError):
        ask_hub(f"http://127.0.0.1:{server.server_port}/", "", Launch())
    server.shutdown()
    server.server_close()
