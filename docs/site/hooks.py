"""Hooks of the documentation site: pages from outside of docs/, patterns in the navigation, and llms.txt.

Pages are written to be read in the repository, where their links lead to files. Here these links are turned to the
pages that the files became; what is no page, such as source code, is named without a link.
"""

from __future__ import annotations

import posixpath
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = "docs/"

# Where in the site a page from outside of docs/ stands.
OUTSIDE = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    **{
        str(page.relative_to(ROOT)): f"backends/{page.parent.name}.md"
        for folder in ("backends", "contrib")
        for page in sorted(ROOT.glob(f"{folder}/*/README.md"))
    },
}
_IN_REPOSITORY = {site: path for path, site in OUTSIDE.items()}

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>(?![a-z]+:|#)[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")
_FENCE = re.compile(r"^(```.*?^```[ ]*)$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^# +(.+)$", re.MULTILINE)


# --- pages --------------------------------------------------------------------------------------


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the pages from outside in."""
    for path, site in OUTSIDE.items():
        files.append(File.generated(config, site, content=(ROOT / path).read_text(encoding="utf-8")))
    config.nav = _expanded(config.nav, files)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files into links to pages."""
    here = page.file.src_uri
    parts = _FENCE.split(markdown)
    for number in range(0, len(parts), 2):  # Every second part is a block of code.
        parts[number] = _LINK.sub(lambda link: _relinked(link, here, files), parts[number])
    return "".join(parts)


def _relinked(link: re.Match[str], here: str, files: Files) -> str:
    repository = _IN_REPOSITORY.get(here, DOCS + here)
    path = posixpath.normpath(posixpath.join(posixpath.dirname(repository), link["target"]))
    site = OUTSIDE.get(path, path.removeprefix(DOCS) if path.startswith(DOCS) else None)
    if site is None or files.get_file_from_path(site) is None:
        return link["text"]
    text = _title(files.src_uris[site]) if link["text"].endswith(".md") else link["text"]
    return f"[{text}]({posixpath.relpath(site, posixpath.dirname(here) or '.')}{link['anchor'] or ''})"


# --- navigation ---------------------------------------------------------------------------------


def _expanded(nav: Any, files: Files) -> Any:
    named = set(_named(nav))
    pages = {file.src_uri: _title(file) for file in files.documentation_pages() if file.src_uri not in named}

    def expand(items: list[Any]) -> list[Any]:
        made: list[Any] = []
        for item in items:
            if isinstance(item, dict):
                made.append(
                    {title: expand(below) if isinstance(below, list) else below for title, below in item.items()}
                )
            elif "*" in item:
                found = [uri for uri in pages if fnmatch(uri, item)]
                made += sorted(found, key=lambda uri: pages.pop(uri).lower())
            else:
                made.append(item)
        return made

    return expand(nav)


def _named(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [uri for below in (nav.values() if isinstance(nav, dict) else nav) for uri in _named(below)]


def _title(file: File) -> str:
    found = _HEADING.search(file.content_string)
    return found[1] if found else file.src_uri


# --- llms.txt -----------------------------------------------------------------------------------


def on_post_build(config: MkDocsConfig) -> None:
    """Leave llms.txt and the pages' sources beside the site, for readers that are no people."""
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", ""]
    for item in config.nav or []:
        for title, below in item.items():
            lines += [f"## {title}", "", *(_line(uri, config) for uri in _named(below)), ""]
    (Path(config.site_dir) / "llms.txt").write_text("\n".join(lines), encoding="utf-8")


def _line(uri: str, config: MkDocsConfig) -> str:
    source = ROOT / _IN_REPOSITORY.get(uri, DOCS + uri)
    text = source.read_text(encoding="utf-8")
    copy = Path(config.site_dir) / uri
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(text, encoding="utf-8")
    heading = _HEADING.search(text)
    title = heading[1] if heading else uri
    return f"- [{title}]({uri}): {_summary(text)}"


def _summary(text: str) -> str:
    """The first sentence of a page."""
    for paragraph in re.split(r"\n\s*\n", _FENCE.sub("", text)):
        words = " ".join(_LINK.sub(lambda link: link["text"], paragraph).split())
        if words and not words.startswith(("#", "<", "|", "- ", ":::", "1.")):
            return re.split(r"(?<=[.])\s", words)[0]
    return "Generated from the docstrings."
