"""The dashboard and the alert rules ask for metrics, labels and headings that are there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from graphql_api.observability import Metrics
from graphql_api.readiness import PARTS
from musicfp.catalog.derivations import NOT_MADE
from musicfp.catalog.tables import SUBMISSION_STATUSES
from tests.test_documents import anchors

DOCS = Path(__file__).parents[1] / "docs"
OPERATIONS = DOCS / "operations.md"
DASHBOARD = json.loads((DOCS / "grafana-dashboard.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = yaml.safe_load((DOCS / "prometheus-alerts.yml").read_text(encoding="utf-8"))["groups"][0][
    "rules"
]
SELECTOR = re.compile(r"(musicfp_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')
GROUPED = re.compile(r"by \(([^)]*)\)")

pytestmark = pytest.mark.sync


def exported() -> dict[str, tuple[str, ...]]:
    """Return the labels of each time series, by the name that Prometheus sees."""
    found: dict[str, tuple[str, ...]] = {}
    for collector in list(Metrics().registry._collector_to_names):
        labels = tuple(getattr(collector, "_labelnames", ()))
        (family,) = collector.describe()
        if family.type == "counter":
            found[f"{family.name}_total"] = labels
        elif family.type == "histogram":
            found |= {f"{family.name}_bucket": (*labels, "le")}
            found |= {f"{family.name}_{part}": labels for part in ("sum", "count")}
        else:
            found[family.name] = labels
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Yield where each expression stands, and it."""
    for panel in DASHBOARD["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])
    yield from ((rule["alert"], rule["expr"]) for rule in RULES)


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_what_is_asked_for_is_exported(where: str, expression: str) -> None:
    """Each metric by its name, with labels that it has and values that they take."""
    known, values = exported(), {"status": {*SUBMISSION_STATUSES, *NOT_MADE}, "part": set(PARTS)}
    selectors = SELECTOR.findall(expression)
    assert selectors or expression.startswith("up{"), where
    for name, matchers in selectors:
        assert name in known, name
        for label, _, value in MATCHER.findall(matchers):
            assert label in known[name]
            assert set(value.split("|")) <= values.get(label, {value})
        for group in GROUPED.findall(expression):
            assert {each.strip() for each in group.split(",")} <= set(known[name])
    assert expression.count("(") == expression.count(")")
    assert expression.count("{") == expression.count("}")


def test_the_dashboard_shows_every_metric() -> None:
    """What is not shown is not watched."""
    shown = {name for _, expression in expressions() for name, _ in SELECTOR.findall(expression)}
    base = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported()} == base


def test_panels_have_places_of_their_own() -> None:
    """Ids and corners are unique, and nothing is wider than the page."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    corners = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(corners)) == len(panels)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_each_alarm_says_what_to_do(rule: dict[str, Any]) -> None:
    """By a heading of the operations document."""
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    document, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert document == OPERATIONS.name
    assert anchor in anchors(OPERATIONS)


def test_each_part_has_its_entry() -> None:
    """In the table of what to do when a part is not ready."""
    rows = re.findall(r"^\| `(\w+)` \|", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(PARTS) <= set(rows)
