"""Tables of an evaluation: Markdown for people, JSON for programs.

What belongs here: formatting. What does not: the numbers (`metrics`).
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eval.metrics import Row

_HEAD = (
    "condition",
    "s",
    "n",
    "ceiling",
    "rank 1",
    "accepted, right",
    "accepted, wrong",
    "false accepts",
    "above strangers",
    "offset error s median / p95",
    "within 0.5 s",
    "ms p50 / p95",
)


def markdown(rows: Sequence[Row], *, not_run: dict[str, str]) -> str:
    """Return one table for each recogniser, and one that compares all of them if there are several."""
    names = list(dict.fromkeys(row.recogniser for row in rows))
    blocks = [_table_of([row for row in rows if row.recogniser == name]) for name in names]
    if len(names) > 1:
        blocks.append(_comparison(rows, names))
    blocks += [f"{name}: not run: {why}" for name, why in not_run.items()]
    return "\n\n".join(blocks)


def write_json(path: Path, rows: Iterable[Row], *, not_run: dict[str, str], facts: dict[str, Any]) -> None:
    """Write everything that was counted, with the queries that were not answered as they should be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {**facts, "not_run": not_run, "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(document, indent=1) + "\n")


def _table_of(rows: Sequence[Row]) -> str:
    lines = [f"### {rows[0].recogniser}", "", _line(_HEAD), _line(["---"] * len(_HEAD))]
    lines += [_line(_cells(row)) for row in rows]
    return "\n".join(lines)


def _cells(row: Row) -> list[str]:
    return [
        row.condition,
        f"{row.length_s:g}",
        str(row.n),
        _share(row.ceiling),
        _share(row.rank_1),
        _share(row.accepted_right),
        _share(row.accepted_wrong),
        f"{row.n_false_accepts} of {row.n_strangers}",
        _share(row.recall_above_strangers),
        f"{_number(row.offset_error_median_s, 2)} / {_number(row.offset_error_p95_s, 2)}",
        "-" if row.offset_near is None else _share(row.offset_near),
        f"{_number(row.took_p50_ms, 1)} / {_number(row.took_p95_ms, 1)}",
    ]


def _comparison(rows: Sequence[Row], names: Sequence[str]) -> str:
    cells = {(row.condition, row.length_s, row.recogniser): row for row in rows}
    lines = [
        "### Compared: rank-1 recall / recall above every stranger's score",
        "",
        _line(["condition", "s", *names]),
        _line(["---"] * (len(names) + 2)),
    ]
    for condition, length_s in dict.fromkeys((row.condition, row.length_s) for row in rows):
        shown = [cells.get((condition, length_s, name)) for name in names]
        values = [f"{_share(row.rank_1)} / {_share(row.recall_above_strangers)}" if row else "-" for row in shown]
        lines.append(_line([condition, f"{length_s:g}", *values]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _share(value: float) -> str:
    return f"{value:.3f}"


def _number(value: float | None, n_digits: int) -> str:
    return "-" if value is None else f"{value:.{n_digits}f}"
