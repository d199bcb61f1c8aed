"""The plugin for MyST, run by Node.js alone: what it looks up, and what it says."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from books import myst_book, opens

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")

SCRIPT = """
import path from 'node:path';
const { default: plugin } = await import(path.resolve('share_links.mjs'));
const said = [];
const vfile = (name) => ({ path: path.resolve(name), message: (text) => said.push(text) });
const [page, arg, options, text] = JSON.parse(process.argv[2]);
const tree = { children: [{ type: 'block' }] };
plugin.transforms[0].plugin()(tree, vfile(page));
const shown = {
  page: tree.children.slice(0, -1),
  directive: arg === null ? [] : plugin.directives[0].run({ arg, options }, vfile(page)),
  role: text === null ? [] : plugin.roles[0].run({ body: text }, vfile(page)),
  said,
};
console.log(JSON.stringify(shown));
"""


@pytest.fixture
def run(tmp_path):
    book = myst_book(tmp_path / "bü ch")
    (tmp_path / "run.mjs").write_text(SCRIPT)

    def run(page: str, arg=None, options=None, text=None) -> dict:
        words = json.dumps([page, arg, options or {}, text])
        done = subprocess.run(
            ["node", tmp_path / "run.mjs", words], cwd=book, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    run.book = book
    return run


def urls(node) -> list[str]:
    if isinstance(node, list):
        return [url for one in node for url in urls(one)]
    return [node["url"]] if "url" in node else urls(node.get("children", []))


def test_what_is_known_is_looked_up(run):
    shown = run("intro/größe.ipynb")
    assert [opens(url)[0] for url in urls(shown["page"])] == ["intro/größe.ipynb"] * 2
    assert shown["said"] == []
    shown = run("links.md", "/gpu/train.ipynb", {"label": "Train it"})
    assert [opens(url) for url in urls(shown["directive"])] == [("gpu/train.ipynb", "gpu")]
    assert shown["page"] == [] == shown["said"]
    shown = run("links.md", text="the map <intro/first map.ipynb>")
    assert [opens(url)[0] for url in urls(shown["role"])] == ["intro/first map.ipynb"]


def test_what_is_not_known_is_said_and_shown_as_text(run):
    hint = "is not in share_links.json; run: share-links build"
    shown = run("new.ipynb")
    assert (shown["page"], shown["said"]) == ([], [f"new.ipynb {hint}"])
    assert run("navbar_end.md") == {"page": [], "directive": [], "role": [], "said": []}
    shown = run("text.md", "named.md", text="a <b.ipynb>")
    assert shown["said"] == [f"a launch of text.md {hint}"]
    assert shown["directive"] == []
    assert shown["role"] == [{"type": "text", "value": "a <b.ipynb>"}]


@pytest.mark.parametrize("text", [None, "{", "[]", "null"])
def test_without_a_table_the_book_is_built(run, text):
    (run.book / "share_links.json").unlink()
    if text is not None:
        (run.book / "share_links.json").write_text(text)
    shown = run("text.md", "", text="a")
    assert shown["said"] == ["share_links.json is missing; run: share-links build"]
    assert shown["page"] == [] == shown["directive"]


def test_a_table_of_other_settings_is_said_to_be_old(run):
    (run.book / "share_links.yml").write_text("hubs: []\n")
    shown = run("text.md")
    assert len(urls(shown["page"])) == 2
    assert shown["said"] == [
        "share_links.yml has changed since share_links.json was made; run: share-links build"
    ]
