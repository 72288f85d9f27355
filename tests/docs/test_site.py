"""The site that Sphinx builds: without warnings, whole, without links that lead nowhere, and of use offline."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_pages import run

import pyratok

ROOT = Path(pyratok.__file__).resolve().parent


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if "id" in values:
            self.places.add(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and "href" in values and values.get("rel") in ("stylesheet", "preload", "icon"):
            self.loaded.append(values["href"])
        if "src" in values:
            self.loaded.append(values["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> dict[Path, Page]:
    """The pages of the site by their path, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--nitpicky", "--fail-on-warning", "--keep-going", "-q", "-d", str(folder / "trees")]
    run([sys.executable, "-m", "sphinx", *options, str(ROOT / "docs"), str(folder / "html")], ROOT)
    return {path: Page(path) for path in sorted((folder / "html").rglob("*.html"))}


def test_there_is_a_page_for_each_source(site):
    names = {path.stem for path in site}
    assert {path.stem for path in (ROOT / "docs").rglob("*.md")} <= names
    assert {path.stem for path in (ROOT / "docs" / "api").glob("*.rst")} <= names


def test_every_public_name_has_its_place(site):
    places = set().union(*(page.places for page in site.values()))
    assert [name for name in pyratok.__all__ if name != "__version__" and f"pyratok.{name}" not in places] == []
    for method in ("PyraTokModel.merge_lora", "PyraTokModel.decode_stream", "PyraTokSegmentationPipeline.__call__"):
        assert f"pyratok.{method}" in places


def test_links_lead_somewhere(site):
    broken = []
    for path, page in site.items():
        for link in page.links:
            target = urlsplit(link)
            if target.scheme:
                continue
            file = (path.parent / unquote(target.path)).resolve() if target.path else path
            if not file.exists() or (
                target.fragment and file in site and unquote(target.fragment) not in site[file].places
            ):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site):
    for path, page in site.items():
        for address in page.loaded:
            target = urlsplit(address)
            assert not target.scheme and not target.netloc, f"{path.name} loads {address}"
            assert (path.parent / unquote(target.path)).exists(), f"{path.name} loads {address}"
