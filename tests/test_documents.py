"""The documents say what is there: settings, commands, features, metrics, files, dependencies that they name exist."""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphql_api.observability import Metrics
from musicfp.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
SETTING_ROW = re.compile(r"^\| `(MUSICFP_[A-Z0-9_]+)` \| [^|]+ \| ([^|]*) \|", re.MULTILINE)
EXAMPLE_LINE = re.compile(r"^# (MUSICFP_[A-Z0-9_]+)=(.*)$", re.MULTILINE)
# A path of this project: it begins with one of these folders and names a file or a folder in it.
SOURCE_PATH = re.compile(r"(?:musicfp|musicfp_assets|graphql_api|docs|scripts|tests)/[\w./-]*")

pytestmark = pytest.mark.sync


def of_documents(pattern: str) -> Iterator[tuple[str, str]]:
    """Yield (document, group 1) of every match of a pattern in code."""
    for path in DOCUMENTS:
        for code in CODE.findall(path.read_text(encoding="utf-8")):
            yield from ((path.name, found) for found in re.findall(pattern, code))


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_table_of_features_is_that_of_the_registry() -> None:
    """A feature that is added, changed or removed changes docs/features.md; scripts/feature_table.py writes it."""
    script = runpy.run_path(str(ROOT / "scripts" / "feature_table.py"))
    present = script["PATH"].read_text(encoding="utf-8")
    assert present == script["document"](present), "run `.venv/bin/python scripts/feature_table.py`"


def test_the_readme_has_all_settings_with_their_defaults() -> None:
    """The README's table and .env.example name the same settings; a default that is a plain value is the same."""
    listed = dict(SETTING_ROW.findall(README))
    example = dict(EXAMPLE_LINE.findall((ROOT / ".env.example").read_text(encoding="utf-8")))
    assert listed.keys() == example.keys()
    for name, default in example.items():
        if default:
            assert f"`{default}`" in listed[name]


def test_commands_in_documents_exist() -> None:
    """Every `musicfp COMMAND` and `make TARGET` that a document shows can be called."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    shown = set(of_documents(r"(?:^`|/bin/|\n)musicfp ([a-z]+)"))
    assert {command for _, command in shown} == set(COMMANDS)
    assert {target for _, target in of_documents(r"(?:^`|\n|& )make ([a-z]+)")} <= set(targets)


def test_the_table_of_metrics_is_what_the_api_exports() -> None:
    """The operations document lists each metric, and no other, under the name that Prometheus sees."""
    exported = {
        f"{family.name}_total" if family.type == "counter" else family.name for family in Metrics().registry.collect()
    }
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(musicfp_\w+)` \|", text, re.MULTILINE)) == exported


def test_each_dependency_has_its_reason() -> None:
    """Decision 0007 has a line for each package of requirements.in, and for no other."""
    asked = re.findall(r"^([a-z0-9-]+)", (ROOT / "requirements.in").read_text(encoding="utf-8"), re.MULTILINE)
    text = (ROOT / "docs" / "decisions" / "0007-dependencies.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| ([a-z0-9-]+) \|", text, re.MULTILINE)
    assert sorted(set(listed) - {"package"}) == sorted(asked)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """Relative links and pictures are files of this project; anchors are headings."""
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_files_named_in_documents_exist() -> None:
    """A path of the source tree in code style is there; `NNNN` and the like stand for a name to choose."""
    named = {
        (document, found.rstrip("/."))
        for document, found in of_documents(rf"`({SOURCE_PATH.pattern})`")
        if "NNNN" not in found
    }
    assert named
    assert not sorted((document, found) for document, found in named if not (ROOT / found).exists())
