"""The catalogues of texts, from the code: `python docs/translations.py`.

Collects the texts of the code and the templates, brings `hub_groups/locale/*/LC_MESSAGES/*.po` up
to date with them, and compiles these. What has no translation yet is empty there; what nothing
says any more goes.
"""

from __future__ import annotations

import io
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from hub_groups.words import DOMAIN, LANGUAGES

ROOT = Path(__file__).parent.parent
LOCALE = ROOT / "hub_groups" / "locale"
PACKAGES = ["hub_groups", "hub_quotas", "share_links"]
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
OPTIONS = {"**/templates/**.html": {"silent": "false", "newstyle_gettext": "true"}}


def extracted() -> Catalog:
    """All texts that the code and the templates have for people."""
    catalog = Catalog(domain=DOMAIN, project="jupyterhub-group-quotas")
    for package in PACKAGES:
        found = extract_from_dir(ROOT / package, METHODS, OPTIONS)
        for _file, _line, message, _comments, context in found:
            catalog.add(message, context=context)
    return catalog


def file_of(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def read(language: str) -> Catalog:
    """The translations that there are; with the plurals of the language where there are none."""
    file = file_of(language)
    if not file.exists():
        return Catalog(locale=language, domain=DOMAIN)
    with file.open("rb") as text:
        return read_po(text, locale=language, domain=DOMAIN)


def compiled(catalog: Catalog) -> bytes:
    """What gettext reads."""
    out = io.BytesIO()
    write_mo(out, catalog)
    return out.getvalue()


def main() -> None:
    template = extracted()
    for language in LANGUAGES:
        if language == "en":  # as the code has it
            continue
        catalog = read(language)
        # Without dates and places: the files change when a text does, and only then.
        template.creation_date = catalog.creation_date
        catalog.update(template, no_fuzzy_matching=True)
        file = file_of(language)
        file.parent.mkdir(parents=True, exist_ok=True)
        out = io.BytesIO()
        write_po(out, catalog, no_location=True, sort_output=True, ignore_obsolete=True)
        file.write_bytes(out.getvalue())
        file.with_suffix(".mo").write_bytes(compiled(catalog))
        missing = sum(1 for message in catalog if message.id and not all(translations(message)))
        print(f"{language}: {len(catalog)} texts, {missing} without a translation")


def translations(message: Message) -> list[str]:
    """Of each plural form, or of the only one; empty for none."""
    found = message.string or ""
    return [found] if isinstance(found, str) else list(found)


if __name__ == "__main__":
    main()
