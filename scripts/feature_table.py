"""Writes the tables of docs/features.md from the registry: `.venv/bin/python scripts/feature_table.py`.

What stands between the two marks is made here; everything else in the file is written by hand. A test calls
`document()` and compares, so a feature cannot be added, changed or removed without its line.
"""

from collections.abc import Sequence
from pathlib import Path

from musicfp.features.registry import BUILTIN_MODULES, Extractor, FeatureSpec, load_builtin

PATH = Path(__file__).parents[1] / "docs" / "features.md"
BEGIN = "<!-- made by scripts/feature_table.py: begin -->"
END = "<!-- made by scripts/feature_table.py: end -->"


def document(present: str) -> str:
    """Return the text of docs/features.md with its tables as the registry has them now."""
    before, begin, rest = present.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PATH.name} must have the marks {BEGIN} and {END}, in this order.")
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def tables() -> str:
    """Return a table of the extractors and one of their values, in Markdown."""
    # Only those of this project: a module of somebody's own may be registered in the same process.
    # In the order of their modules, whichever was imported first.
    ours = [each for each in load_builtin(()).all() if each.function.__module__ in BUILTIN_MODULES]
    extractors = sorted(ours, key=lambda each: BUILTIN_MODULES.index(each.function.__module__))
    of_extractors = _table(
        ("asset", "version", "shortest audio", "silence", "reads", "CPU s/min", "models", "what it measures"),
        [_extractor_row(one) for one in extractors],
    )
    of_values = _table(
        ("value", "unit", "range", "what it says", "extractor"),
        [_value_row(one, spec) for one in extractors for spec in one.values],
    )
    return f"{of_extractors}\n{of_values}"


def _extractor_row(one: Extractor) -> tuple[str, ...]:
    shortest = f"{one.min_duration_s:g} s" if one.min_duration_s else "any"
    return (
        f"`feature_{one.name}`",
        one.version,
        shortest,
        "`silent`" if one.audible else "measured",
        _names(one.inputs),
        "" if one.cost_s_per_min is None else f"{one.cost_s_per_min:g}",
        _names(one.models),
        one.description,
    )


def _value_row(one: Extractor, spec: FeatureSpec) -> tuple[str, ...]:
    limits = f"{spec.range[0]:,.10g} to {spec.range[1]:,.10g}" if spec.range else ""
    return f"`{spec.name}`", spec.unit or "", limits, spec.description, f"`{one.name}`"


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{each}`" for each in names)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    PATH.write_text(document(PATH.read_text(encoding="utf-8")), encoding="utf-8")
