"""What `share_links.yml` says of each page, tables of contents, and the command line for books."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from books import BUTTONS, PAGES, REPOSITORY, SETTINGS, TOC_BOOK, TOC_MYST, opens, write_book
from bs4 import BeautifulSoup
from gitserver import commit, git
from hypothesis import given
from hypothesis import strategies as st
from launches import launches

from hub_groups.documents import FileError, read_yaml
from share_links.badge import badge
from share_links.book import (
    Book,
    BookError,
    BookHub,
    Choice,
    Found,
    Page,
    aims,
    links,
    parse_book,
)
from share_links.book_files import open_book, page_of, read_contents
from share_links.cli import DONE, FOUND, UNUSABLE, main
from share_links.forms import read
from share_links.launch import Content, Environment
from share_links.repository import found, readers_address
from share_links.sources import Wanted, frontmatter, target, wanted
from share_links.start import with_entry
from share_links.tocs import all_pages, jupyter_book_pages, myst_pages, without_parts
from share_links.tokens import key_id, verify
from share_links.written import written_links

GIT = Found("https://github.com/earth/geo-book", "main", "docs")


def book(text: str, git: Found = GIT) -> Book:
    return parse_book(
        yaml.safe_load("hubs: [{label: H, url: 'https://h.example.org'}]\n" + text), git
    )


def test_what_git_knows_holds_where_the_file_does_not_say():
    assert book("").content == Content("https://github.com/earth/geo-book", "main")
    assert book("").subfolder == "docs"
    assert book("content: {ref: v1, subfolder: ''}").content.ref == "v1"
    assert book("content: {subfolder: ''}").subfolder == ""
    other = book("content: {repository: 'https://github.com/earth/other'}")
    assert other.content == Content("https://github.com/earth/other"), "its own default branch"


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("grup: x", "grup", "there is no such key; there are hubs, content, environment"),
        ("hubs: []", "hubs", "name at least one, with label and url."),
        ("hubs: [{url: 'https://h.example.org'}]", "hubs 1 label", "say how readers know this"),
        ("hubs: [{label: a}]", "hubs 1 url", "'' is not a hub's address; write, for example"),
        ("hubs: [{label: a, form: lti}]", "hubs 1 form", "there is no 'lti'; there are resolved,"),
        ("hubs: {label: a}", "hubs", "write a list, each entry with a dash."),
        ("hubs: [{label: a, form: binder}, {label: a, form: colab}]", "hubs 2 label", "another"),
        ("pages: [{environment: {}}]", "pages 1 match", "name a page, or a pattern such as gpu/*."),
        ("pages: [{match: a, launch: 1}]", "pages 1 launch", "write true or false."),
        ("pages: [{match: a, hubs: [X]}]", "pages 1 hubs", "there is no hub 'X'; there are H."),
        ("pages: [{match: a, view: labb}]", "pages 1 view", "There is no view 'labb'; there are"),
        ("pages: [{match: a, file: ../a}]", "pages 1 file", "'../a' is not a path within"),
        ("environment: {profile: 2}", "environment", "profile: needs a text."),
        ("environment: {image: a, imgae: b}", "environment", "there is no 'imgae' here; there"),
        ("join: true", "join", "name the group that readers join, too."),
        ("pages: [{match: a, join: true}]", "pages 1 join", "name the group that readers join"),
        ("content: {repository: 'ext::sh'}", "content", "'ext::sh' is not a repository's address"),
        ("content: {ref: 3}", "content ref", "write a text, with quotes where it looks like a"),
        ("content: {subfolder: ../up}", "content subfolder", "'../up' is not a path within"),
        ("language: fr", "language", "there is en, de."),
    ],
)
def test_what_can_not_be_used_is_said_with_its_place(text, place, why):
    values = yaml.safe_load("hubs: [{label: H, url: 'https://h.example.org'}]")
    with pytest.raises(BookError) as raised:
        parse_book(values | yaml.safe_load(text), GIT)
    assert " ".join(raised.value.place) == place
    assert why in str(raised.value)
    assert "\n" not in str(raised.value)


def test_without_git_the_repository_is_asked_for():
    with pytest.raises(BookError, match="name the repository of this book; git knows no remote"):
        book("", Found())


def test_later_entries_win_key_by_key():
    found = book(
        "environment: {profile: small, options: {image: a}}\n"
        "group: geo\n"
        "pages:\n"
        "- {match: gpu/*, environment: {profile: gpu}, view: notebook}\n"
        "- {match: gpu/deep/*, group: deep}\n"
    )
    (aim,) = aims(found, Page("gpu/deep/a.ipynb", True, Choice(view="lab")))
    assert aim.launch.environment == Environment("gpu"), "an environment is replaced as a whole"
    assert (aim.launch.group, aim.launch.target.view) == ("deep", "lab")
    assert aim.launch.target.file == "docs/gpu/deep/a.ipynb"


@pytest.mark.parametrize(
    ("rule", "page", "shown"),
    [
        ("{match: zzz}", Page("a.md"), False),
        ("{match: zzz}", Page("a.md", runs=True), True),
        ("{match: a.md}", Page("a.md"), True),
        ("{match: '*.md', group: geo}", Page("a.md"), False),
        ("{match: '*.md', launch: true}", Page("in/a.md"), True),
        ("{match: a.ipynb, launch: false}", Page("a.ipynb", runs=True), False),
        ("{match: a.ipynb, launch: false}", Page("a.ipynb", True, Choice(launch=True)), True),
        ("{match: zzz}", Page("a.md", own=Choice(group="geo")), True),
        ("{match: 'a[1].md'}", Page("a[1].md"), True),
    ],
)
def test_which_pages_have_something_to_launch(rule, page, shown):
    assert bool(links(book(f"pages: [{rule}]"), page)) == shown


@given(launches, st.sampled_from(["a.ipynb", "ü b/c#d&e.md", "x/[1] %20.ipynb"]))
def test_each_link_says_what_is_meant(launch, path):
    if launch.content is None:
        return
    hubs = (BookHub("H", "https://h.example.org/x/"),)
    choice = Choice(environment=launch.environment, group=launch.group, join=launch.join)
    (link,) = links(Book(hubs, launch.content, "docs", choice), Page(path, runs=True))
    said = read(link.url).launch
    assert (said.content, said.environment) == (launch.content, launch.environment)
    assert (said.group, said.join) == (launch.group, launch.join)
    assert said.target.file == f"docs/{path}"


def test_a_page_with_brackets_in_its_name_is_named_as_it_stands():
    found = book("pages: [{match: 'a[1].md', group: geo}]")
    (aim,) = aims(found, Page("a[1].md", runs=True))
    assert aim.launch.group == "geo"


# -- tables of contents ----------------------------------------------------------------------------

FILES = frozenset(
    ["index.md", "a.ipynb", "b.md", "part/c.md", "part/deep/d.md", "part/e.ipynb", "foot.md"]
    + ["_build/x.md", "node_modules/x/y.md", ".hidden/z.md", "README.txt"]
)


@pytest.mark.parametrize(
    ("toc", "pages"),
    [
        ("{format: jb-book, root: index, chapters: [{file: a}, {glob: part/*}]}", "i a c e"),
        (
            "{format: jb-article, root: index, sections: [{file: b, sections: [{file: a}]}]}",
            "i b a",
        ),
        ("{root: index, parts: [{caption: x, chapters: [{file: part/c}, {url: 'h'}]}]}", "i c"),
        ("{root: index, subtrees: [{entries: [{file: a}]}, {entries: [{file: b}]}]}", "i a b"),
        ("[{file: index}, {file: part/c, sections: [{file: a}]}]", "i c a"),
    ],
)
def test_jupyter_book_1_has_tables_of_several_kinds(toc, pages):
    found = jupyter_book_pages(yaml.safe_load(toc), FILES) if toc[0] == "{" else None
    if found is None:  # as it was before there were formats
        found = jupyter_book_pages({"chapters": yaml.safe_load(toc)}, FILES)
    assert [page.rpartition("/")[2][0] for page in found.pages] == pages.split()
    assert found.missing == ()


def test_myst_has_children_and_patterns_and_parts_are_no_pages():
    said = {
        "project": {
            "toc": [
                {"file": "index.md"},
                {"title": "t", "children": [{"pattern": "part/**"}, {"url": "https://x.org"}]},
                {"file": "./b"},
                {"file": "gone.md"},
            ]
        }
    }
    found = myst_pages(said, FILES)
    assert found.pages == ("index.md", "part/c.md", "part/deep/d.md", "part/e.ipynb", "b.md")
    assert found.missing == ("gone.md",)
    assert myst_pages({"project": {"title": "x"}}, FILES) is None
    parts = {"site": {"parts": {"footer": "foot.md"}}, "project": {"exclude": ["part/*"]}}
    rest = without_parts(parts, all_pages(FILES))
    assert rest.pages == ("a.ipynb", "b.md", "index.md")


@pytest.mark.parametrize("toc", [None, 3, [], {"toc": 1}, {"project": []}, {"parts": {"x": 1}}])
def test_a_table_of_contents_of_another_kind_is_none(toc):
    assert jupyter_book_pages(toc, FILES).pages == ()
    assert myst_pages(toc, FILES) is None


def test_pages_of_a_folder(tmp_path):
    write_book(tmp_path, {"_build/old.md": "# Old\n", "foot.md": "x"})
    assert set(read_contents(tmp_path).pages) == {"foot.md", *pages_of_the_sample()}
    (tmp_path / "_toc.yml").write_text(TOC_BOOK)
    assert set(read_contents(tmp_path).pages) == pages_of_the_sample()
    (tmp_path / "myst.yml").write_text(TOC_MYST.replace("- file: off.ipynb", "- file: foot.md"))
    assert "off.ipynb" not in read_contents(tmp_path).pages, "myst.yml goes before"
    (tmp_path / "_toc.yml").unlink()
    (tmp_path / "myst.yml").write_text("site: {parts: {footer: foot.md}}\n")
    assert set(read_contents(tmp_path).pages) == pages_of_the_sample(), "a part is no page"
    (tmp_path / "myst.yml").write_text("project: [")
    with pytest.raises(FileError, match=r"myst.yml, line 1: this is not YAML"):
        read_contents(tmp_path)


def pages_of_the_sample() -> set[str]:
    from books import PAGES

    return set(PAGES)


# -- pages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("---\nkernelspec: {name: python3}\n---\n# A\n", True),
        ("\ufeff---\r\nkernelspec:\r\n  name: x\r\n---\r\n# A", True),
        ("---\njupyter:\n  kernelspec:\n    name: python3\n---\n", True),
        ("---\ntitle: kernelspec\n---\n# A\n", False),
        ("# A\n---\nkernelspec: {name: x}\n---\n", False),
        ("---\nkernelspec: {name: x}\n", False),
        ("---\n- kernelspec\n---\n", False),
        ("", False),
    ],
)
def test_markdown_with_a_kernel_is_a_notebook(tmp_path, text, runs):
    assert page_of(tmp_path, book(""), "a.md", text).runs is runs
    assert page_of(tmp_path, book(""), "a.rst", text).runs is False


def test_frontmatter_ends_where_it_says():
    assert frontmatter("---\na: 1\n...\nb: 2\n---\n") == "a: 1\n"


def test_directives_and_roles_are_found():
    text = (
        "```{launch} a b.ipynb\n:profile: gpu\n:hub: Our hub\n:class: x\n```\n"
        ":::{launch}\n:::\n"
        "> ````{launch} /c.md\n> ````\n"
        "and {launch}`d.md` and {launch}`the <e> map <f g.md>`, not {launched}`x`"
    )
    assert [one for _key, one in wanted(text)] == [
        Wanted("a b.ipynb", {"profile": "gpu", "hub": "Our hub"}),
        Wanted(""),
        Wanted("/c.md"),
        Wanted("d.md"),
        Wanted("f g.md", {"label": "the <e> map"}),
    ]
    keys = [key for key, _one in wanted(text)]
    assert keys[0] == '["a b.ipynb","gpu","","","","Our hub",""]'
    assert keys[-1] == '["the <e> map <f g.md>"]'


def test_launches_that_a_page_only_shows_are_none():
    text = (
        "````text\n```{launch} a.ipynb\n```\nand {launch}`b.md`\n````\n"
        "~~~md\n{launch}`c.md`\n~~~\n"
        "````{code-block} md\n{launch}`d.md`\n````\n"
        "`````{note}\n```python\n# {launch}`e.md`\n```\n````{launch} f.md\n````\n`````\n"
        "{launch}`g.md`\n"
    )
    assert [one.file for _key, one in wanted(text)] == ["f.md", "g.md"]


@pytest.mark.parametrize(
    ("file", "path"), [("", "in/p.md"), ("a.md", "in/a.md"), ("/a.md", "a.md"), ("../a", "a")]
)
def test_files_are_named_from_the_page_or_from_the_top(file, path):
    assert target("in/p.md", file) == path


def test_links_in_text_are_found_with_their_lines():
    hub = "https://h.example.org/hub/spawn?opt-profile=a"
    text = (
        f"no https://example.org/hub and\n[a]({hub}&x=(1)) or <{hub}>.\n"
        f'<a href="{hub}&amp;next=%2F">\n\n{hub}, then [b]({hub} "Title").\n'
        "https://mybinder.org/v2/gh/a/b/main\n"
    )
    assert [(one.line, one.url.replace(hub, "H")) for one in written_links(text)] == [
        (2, "H&x=(1)"),
        (2, "H"),
        (3, "H&next=%2F"),
        (5, "H"),
        (5, "H"),
        (6, "https://mybinder.org/v2/gh/a/b/main"),
    ]


# -- git -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("git@github.com:earth/geo-book.git", "https://github.com/earth/geo-book"),
        ("https://ada:secret@github.com/earth/geo-book.git", "https://github.com/earth/geo-book"),
        ("https://token@git.example.org/a/b.git", "https://git.example.org/a/b.git"),
        ("ssh://git@git.example.org:2222/a/b.git", "https://git.example.org/a/b"),
        ("/srv/git/a.git", ""),
        ("", ""),
    ],
)
def test_readers_get_an_address_without_the_authors_key(remote, address):
    assert readers_address(remote) == address


def test_git_says_repository_branch_and_folder(tmp_path, monkeypatch):
    at = commit(tmp_path / "work", {"docs/größe/a.md": ""}, "übung")
    git(tmp_path / "work", "remote", "add", "origin", "git@github.com:earth/geo-book.git")
    where = tmp_path / "work" / "docs" / "größe"
    assert found(where) == Found("https://github.com/earth/geo-book", "übung", "docs/größe")
    git(where, "checkout", "-q", at)
    assert found(where).ref == "", "the default branch"
    monkeypatch.setenv("CI_COMMIT_REF_NAME", "übung")
    assert found(where).ref == "übung"
    assert found(tmp_path) == Found()


# -- the command line ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "project:\n  plugins:\n    - new\n"),
        ("version: 1", "version: 1\nproject:\n  plugins:\n    - new\n"),
        ("project:\n  a: 1  # x\n", "project:\n  plugins:\n    - new\n  a: 1  # x\n"),
        ("project:\n    a: 1\nb: 2\n", "project:\n    plugins:\n      - new\n    a: 1\nb: 2\n"),
        ("project:\n# x\nb: 2\n", "project:\n  plugins:\n    - new\n# x\nb: 2\n"),
        (
            "project:\n  plugins: # mine\n  - old\n",
            "project:\n  plugins: # mine\n  - new\n  - old\n",
        ),
        ("project:\r\n  a: 1\r\n", "project:\r\n  plugins:\r\n    - new\r\n  a: 1\r\n"),
        ("project:\n  plugins: [new]\n", "project:\n  plugins: [new]\n"),
        ("project:\n  plugins: [old]\n", None),
        ("project: {a: 1}\n", None),
        ("project: x\n", None),
        ("- project\n", None),
        ("--- \nproject:\n  a: 1\n...\n", "--- \nproject:\n  plugins:\n    - new\n  a: 1\n...\n"),
    ],
)
def test_one_entry_is_added_and_nothing_else_changed(before, after):
    assert with_entry(before, "project", "plugins", "new") == after
    if after:
        assert "new" in read_yaml(after, "x")[0]["project"]["plugins"]


def test_init_writes_what_git_knows_and_keeps_what_is_there(tmp_path, capsys):
    commit(tmp_path / "work", {"docs/myst.yml": TOC_MYST, "docs/index.md": "# A"})
    git(tmp_path / "work", "remote", "add", "origin", "git@github.com:earth/geo-book.git")
    folder = tmp_path / "work" / "docs"
    words = ["init", str(folder), "--hub", "https://h.example.org/x", "--label", 'The "hub"']
    assert main([*words, "--form", "spawn"]) == DONE
    opened = open_book(folder)
    assert opened.book.hubs == (BookHub('The "hub"', "https://h.example.org/x/", "spawn"),)
    assert opened.book.content == Content("https://github.com/earth/geo-book", "main")
    assert opened.book.subfolder == "docs"
    said = capsys.readouterr().out
    assert "readers get https://github.com/earth/geo-book, main." in said
    assert "  - share_links.mjs" in (folder / "myst.yml").read_text()
    before = {file: file.read_bytes() for file in folder.iterdir()}
    assert main(words) == DONE
    assert before == {file: file.read_bytes() for file in folder.iterdir()}
    assert "names share_links.mjs already." in capsys.readouterr().out


def test_init_says_what_it_can_not_add(tmp_path, capsys):
    (tmp_path / "_config.yml").write_text("sphinx: {config: {}}\n")
    assert main(["init", str(tmp_path)]) == DONE
    said = capsys.readouterr().out
    assert "Git knows no remote here: put your repository's address in it." in said
    assert "_config.yml:\nsphinx:\n  extra_extensions:\n    - share_links.sphinx" in said
    assert (tmp_path / "_config.yml").read_text() == "sphinx: {config: {}}\n"
    (tmp_path / "_config.yml").unlink()
    assert main(["init", str(tmp_path)]) == DONE
    assert 'Add "share_links.sphinx" to the extensions in conf.py.' in capsys.readouterr().out
    assert main(["init", str(tmp_path / "none")]) == UNUSABLE


def test_build_prints_all_links_in_bulk(tmp_path, capsys):
    write_book(tmp_path, {"_toc.yml": TOC_BOOK})
    assert main(["build", str(tmp_path), "--csv"]) == DONE
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    shown: dict[str, dict[str, str]] = {page: {} for page in BUTTONS}
    for row in rows:
        shown[row["page"].rpartition(".")[0]][row["hub"]] = opens(row["url"])[0]
    assert shown == {
        page: {hub: file for hub, (file, _profile) in by_hub.items()}
        for page, by_hub in BUTTONS.items()
    }
    assert main(["build", str(tmp_path), "--html"]) == DONE
    html = BeautifulSoup(capsys.readouterr().out, "html.parser")
    assert [link["href"] for link in html.find_all("a")] == [row["url"] for row in rows]
    assert main(["build", str(tmp_path), "--markdown"]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition("](")[2].removesuffix(")") for line in lines] == [
        row["url"] for row in rows
    ]
    assert not (tmp_path / "share_links.json").exists()


def test_build_counts_one_as_one(tmp_path, capsys):
    settings = SETTINGS.partition("  - label: Binder")[0] + "content: {repository: %s}\n"
    (tmp_path / "share_links.yml").write_text(settings % REPOSITORY)
    (tmp_path / "a.md").write_text(PAGES["text.md"])
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: a\n")
    assert main(["build", str(tmp_path)]) == DONE
    assert capsys.readouterr().err.endswith("share_links.json: 1 link on 1 page.\n")


def test_build_writes_the_table_and_says_what_it_can_not_use(tmp_path, capsys):
    write_book(tmp_path, {"_toc.yml": TOC_BOOK.replace("file: own", "file: won")})
    (tmp_path / "text.md").write_text("# T\n\n{launch}`none.md`\n")
    assert main(["build", str(tmp_path)]) == FOUND
    said = capsys.readouterr().err
    assert "names won, which is not there." in said
    assert "text.md: there is no file none.md." in said
    known = json.loads((tmp_path / "share_links.json").read_text())
    assert set(known["pages"]) == pages_of_the_sample() - {"own.md"}
    assert known["pages"]["index.md"] == []
    assert list(known["launches"]) == ["links.md"]


@pytest.mark.parametrize("command", ["build", "check"])
def test_a_book_that_can_not_be_used_has_its_own_exit_code(tmp_path, command, capsys):
    assert main([command, str(tmp_path)]) == UNUSABLE
    assert "share_links.yml: there is no such file; `share-links init" in capsys.readouterr().err
    (tmp_path / "share_links.yml").write_text("hubs:\n  - label: a\n    urk: b\n")
    assert main([command, str(tmp_path)]) == UNUSABLE
    said = capsys.readouterr().err
    assert "share_links.yml, line 3: hubs 1 urk: there is no such key; there are label, url" in said
    assert said.count("\n") == 1


def test_badges_are_made_here(tmp_path):
    settings = SETTINGS.replace("Our hub", "<Größe> & Co")
    write_book(tmp_path, {"share_links.yml": settings, "links.md": "# Links\n"})
    assert main(["build", str(tmp_path), "--badges", str(tmp_path / "out")]) == DONE
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"binder.svg", "größe-co.svg"}
    text = (tmp_path / "out" / "größe-co.svg").read_text()
    root = ET.fromstring(text)
    assert root.get("aria-label") == "open on <Größe> & Co"
    assert "href" not in text and "url(" not in text, "it needs nothing from anywhere"
    assert int(root.get("width")) > int(ET.fromstring(badge("X")).get("width"))


def test_qr_codes_say_the_links(tmp_path):
    write_book(tmp_path, {"a b.ipynb": "{}", "a-b.ipynb": "{}"})
    folder = tmp_path / "qr"
    assert main(["build", str(tmp_path), "--qr", str(folder)]) == DONE
    names = {file.name for file in folder.iterdir()}
    assert {"a-b-ipynb-our-hub.svg", "a-b-ipynb-our-hub-2.svg"} <= names
    assert len(names) == 15
    title = ET.fromstring((folder / "text-md-our-hub.svg").read_text()).find("{*}title")
    assert title is not None and title.text == "Open on Our hub: docs/book/text.md"


def test_links_are_signed_where_there_is_a_key(tmp_path, monkeypatch, capsys):
    write_book(tmp_path, {"a.ipynb": "{}"})
    assert main(["key"]) == DONE
    printed = capsys.readouterr()
    name, _equals, private = printed.out.strip().partition("=")
    public = printed.err.strip().splitlines()[-1]
    monkeypatch.setenv(name, private)
    assert main(["build", str(tmp_path), "--csv"]) == DONE
    url = next(line for line in capsys.readouterr().out.splitlines() if "a.ipynb" in line)
    url = url.rpartition(",")[2]
    token = parse_qs(urlsplit(url).query)["signed"][0]
    signed = verify(token, lambda kid: public if kid == key_id(public) else None)
    assert signed.launch == read(url).launch
    assert signed.launch.target.file.endswith("a.ipynb")
    monkeypatch.setenv(name, "share-links-private:x")
    assert main(["build", str(tmp_path)]) == UNUSABLE
    assert capsys.readouterr().err.startswith("SHARE_LINKS_KEY: This is no private key")
