"""Launches for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from share_links.launch import (
    URL,
    VIEWS,
    Content,
    Environment,
    Launch,
    LaunchError,
    Target,
)

_LETTERS = "abcXYZ019 äß漢🙂%&+#?=/.,;:~'\"()[]{}<>|*!@$^`_-"
text = st.text(_LETTERS, min_size=1, max_size=12)
names = st.text("abcXYZ09äß漢 %&+#=.,~'()[]!@$_-", min_size=1, max_size=8)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
option_names = st.text("abcXYZ09_.-:", min_size=1, max_size=8)
files = st.builds("{}{}".format, paths, st.sampled_from(["", ".ipynb", ".md"]))
refs = st.one_of(
    st.just(""),
    st.sampled_from(["main", "v1.0", "feature/größe", "topic-1", "a" * 40, "3f2c" * 10]),
    st.text("abcä/.-_09漢", min_size=1, max_size=10),
)
repositories = st.one_of(
    st.sampled_from(
        [
            "https://github.com/earth/geo-book",
            "https://github.com/earth/geo-book.git",
            "https://github.com/earth/geo-book/",
            "https://gitlab.com/a/b/c.git",
            "https://git.example.org:8443/x.git/",
            "git@github.com:earth/geo.git",
            "ssh://git@example.org/r.git",
            "file:///srv/geo-book",
            "http://[::1]:80/r",
        ]
    ),
    st.text("abc09-_.", min_size=1, max_size=8).map("https://example.org/{}".format),
)


def _or_none(kind, *parts):
    """Those of the drawn parts that are right together."""

    def build(values):
        try:
            return kind(*values)
        except LaunchError:
            return None

    return st.tuples(*parts).map(build).filter(lambda one: one is not None)


contents = _or_none(Content, repositories, refs, st.one_of(st.just(""), paths))
environments = st.one_of(
    st.just(Environment()),
    _or_none(
        Environment,
        st.one_of(st.just(""), names),
        st.dictionaries(option_names, st.one_of(st.just(""), text), max_size=2),
        st.dictionaries(option_names, st.one_of(st.just(""), text), max_size=2),
        st.one_of(st.just(""), text),
        st.one_of(st.just(""), repositories),
        refs,
    ),
)
url_paths = st.sampled_from(["voila/render/a%20b.ipynb", "proxy/8080/", "x?y=1&z=%26", "tree/a"])
targets = st.one_of(
    _or_none(Target, st.sampled_from(VIEWS), st.one_of(st.just(""), files)),
    _or_none(Target, st.just("lab"), files, st.just(""), text),
    _or_none(Target, st.just(URL), st.just(""), url_paths),
)
launches = _or_none(
    Launch,
    st.one_of(st.none(), contents),
    environments,
    st.one_of(st.just(""), text),
    st.booleans(),
    targets,
)
hubs = st.sampled_from(
    ["https://hub.example.org", "https://Hub.example.org/jupyter/", "http://h:8000/a/b"]
)
