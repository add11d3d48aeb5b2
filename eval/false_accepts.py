"""What strangers were taken for: how often, what that says about the true share, and each case by name.

What belongs here: counting strangers and the exact bounds. What does not: clips of catalogued music (`metrics`).
"""

from collections.abc import Sequence

from scipy import stats

from eval.metrics import Row, Slip

CONFIDENCE = 0.95
FALSE_ACCEPT = "false accept"


def binomial_bounds(n_events: int, n: int) -> tuple[float, float]:
    """Return between what the true share lies with 95 % confidence, exactly (Clopper and Pearson 1934)."""
    if not n:
        return 0.0, 1.0
    tail = (1 - CONFIDENCE) / 2
    low = stats.beta.ppf(tail, n_events, n - n_events + 1) if n_events else 0.0
    high = stats.beta.ppf(1 - tail, n_events + 1, n - n_events) if n_events < n else 1.0
    return float(low), float(high)


def false_accepts_markdown(rows: Sequence[Row]) -> str:
    """Return a table of how many strangers were accepted, and a list of all of them."""
    rows = [row for row in rows if row.n_strangers]
    lines = [
        "### Strangers accepted",
        "",
        "| recogniser | condition | s | accepted | share | true share, 95 % |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_line(row.recogniser, row.condition, row.length_s, [row]) for row in rows]
    for name, length_s in dict.fromkeys((row.recogniser, row.length_s) for row in rows):
        alike = [row for row in rows if (row.recogniser, row.length_s) == (name, length_s)]
        if len(alike) > 1:
            # The same clips under several conditions are not independent, so these bounds are too narrow.
            lines.append(_line(name, "all together", length_s, alike))
    cases = [_case(row, slip) for row in rows for slip in row.slips if slip.kind == FALSE_ACCEPT]
    return "\n".join([*lines, "", *cases]).rstrip()


def _line(name: str, condition: str, length_s: float, rows: Sequence[Row]) -> str:
    n, n_accepted = sum(row.n_strangers for row in rows), sum(row.n_false_accepts for row in rows)
    low, high = binomial_bounds(n_accepted, n)
    cells = [
        name,
        condition,
        f"{length_s:g}",
        f"{n_accepted} of {n}",
        f"{n_accepted / n:.2%}",
        f"{low:.2%} to {high:.2%}",
    ]
    return f"| {' | '.join(cells)} |"


def _case(row: Row, slip: Slip) -> str:
    score = "" if slip.score is None else f", score {slip.score:.4f}"
    return (
        f"- {row.recogniser}, {row.condition}, {row.length_s:g} s: {slip.track} at {slip.offset_s:.1f} s "
        f"was taken for {slip.answered}{score}"
    )
