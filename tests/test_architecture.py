"""The rules by which the code is laid out, checked on its syntax trees: who may import what, sizes, docstrings."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGES = ("musicfp", "musicfp_assets", "graphql_api")
MAX_MODULE_LINES = 400
MODULES = sorted(path for package in PACKAGES for path in (PROJECT / package).rglob("*.py"))
TESTS = sorted((PROJECT / "tests").rglob("*.py"))

# What may be imported only below these folders.
ONLY_IN = {
    "dagster": ("musicfp_assets",),
    "dagster_aws": ("musicfp_assets",),
    "dagster_postgres": ("musicfp_assets",),
    "strawberry": ("graphql_api",),
    "starlette": ("graphql_api",),
    "uvicorn": ("graphql_api",),
    "boto3": ("musicfp/store",),
    "botocore": ("musicfp/store",),
    "alembic": ("musicfp/catalog",),
    "psycopg": ("musicfp/catalog",),
    "subprocess": ("musicfp/audio/limits.py", "musicfp/supervisor"),
    "essentia": ("musicfp/features",),
    "onnxruntime": ("musicfp/features",),
    "mutagen": ("musicfp/audio",),
    "chromaprint": ("musicfp/fingerprint",),
    "acoustid": ("musicfp/fingerprint",),
    "click": ("musicfp/cli",),
}
# The domain knows neither of its two faces, and these do not know each other.
NEVER = {
    "musicfp": ("musicfp_assets", "graphql_api"),
    "musicfp_assets": ("graphql_api",),
    "graphql_api": ("musicfp_assets",),
    "musicfp/audio": ("musicfp.catalog", "musicfp.store", "musicfp.pipeline", "musicfp.features"),
    "musicfp/fingerprint": ("musicfp.catalog", "musicfp.store", "musicfp.pipeline", "musicfp.audio"),
    "musicfp/features": ("musicfp.catalog", "musicfp.store", "musicfp.pipeline"),
    "musicfp/catalog": ("musicfp.store", "musicfp.pipeline", "musicfp.audio", "musicfp.features"),
    "musicfp/store": ("musicfp.catalog", "musicfp.pipeline"),
    "musicfp/pipeline": ("musicfp.cli", "musicfp.client", "musicfp.supervisor", "musicfp.demo"),
    "musicfp/client": ("musicfp.catalog", "musicfp.store", "musicfp.pipeline"),
}
# Queries are written in the catalogue alone; others pass its sessions around, catch its errors and look at URLs.
OUTSIDE_THE_CATALOGUE = {"sqlmodel": {"Session"}, "sqlalchemy": {"make_url"}, "sqlalchemy.exc": None}
DAGSTERS_OWN_STORAGE = tuple(
    f"musicfp_assets/{name}.py" for name in ("sqlite_storage", "postgres_storage", "retention", "track_records")
)
EAGER_ANNOTATIONS = ("musicfp_assets", "musicfp/catalog/tables.py")


def _name(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _is_below(name: str, folder: str) -> bool:
    return name == folder or name.startswith(f"{folder}/")


def _imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield (module, imported name or None) of every import, wherever in the module it stands."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(path)}:{node.lineno} imports relatively"
            yield from ((node.module or "", alias.name) for alias in node.names)


def _is_part(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_the_rules_are_checked_on_something() -> None:
    """A moved folder must not make every rule true."""
    assert len(MODULES) > 100
    for folder in [*NEVER, *(folder for folders in ONLY_IN.values() for folder in folders), *EAGER_ANNOTATIONS]:
        assert any(_is_below(_name(path), folder) for path in MODULES), folder


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    """So that each can be replaced in one place, and heavy ones are loaded only where they are used."""
    wrong = [
        _name(path)
        for path in MODULES
        if not any(_is_below(_name(path), folder) for folder in ONLY_IN[library])
        and any(_is_part(module, library) for module, _ in _imports(path))
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", NEVER)
def test_a_package_knows_nothing_of_those_above_it(folder: str) -> None:
    """Dependencies point one way."""
    wrong = [
        f"{_name(path)} imports {module}"
        for path in MODULES
        if _is_below(_name(path), folder)
        for module, name in _imports(path)
        for forbidden in NEVER[folder]
        if _is_part(module, forbidden) or _is_part(f"{module}.{name}", forbidden)
    ]
    assert wrong == []


def test_queries_are_written_in_the_catalogue_alone() -> None:
    """Elsewhere a session may be named and passed on, and nothing else of the database's libraries."""
    wrong = [
        f"{_name(path)} imports {name or ''} from {module}"
        for path in MODULES
        if not _is_below(_name(path), "musicfp/catalog") and _name(path) not in DAGSTERS_OWN_STORAGE
        for module, name in _imports(path)
        if module.split(".")[0] in {"sqlmodel", "sqlalchemy"} and not _is_allowed_outside(module, name)
    ]
    assert wrong == []


def _is_allowed_outside(module: str, name: str | None) -> bool:
    if module not in OUTSIDE_THE_CATALOGUE:
        return False
    names = OUTSIDE_THE_CATALOGUE[module]
    return names is None or name in names


def test_no_program_is_started_through_a_shell() -> None:
    """Untrusted names reach argument lists only."""
    wrong = [
        f"{_name(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call)
        and (
            any(keyword.arg == "shell" for keyword in node.keywords)
            or ast.unparse(node.func) in {"os.system", "os.popen", "asyncio.create_subprocess_shell"}
        )
    ]
    assert wrong == []


def test_annotations_are_eager_where_they_are_read() -> None:
    """Dagster and SQLModel read annotations when a definition is made, and fail on postponed ones."""
    wrong = [
        _name(path)
        for path in MODULES
        if any(_is_below(_name(path), folder) for folder in EAGER_ANNOTATIONS)
        and ("__future__", "annotations") in set(_imports(path))
    ]
    assert wrong == []


@pytest.mark.parametrize("paths", [MODULES, TESTS], ids=["code", "tests"])
def test_modules_are_short_enough_to_be_read(paths: list[Path]) -> None:
    """One subject each."""
    lengths = {_name(path): len(path.read_text().splitlines()) for path in paths}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_MODULE_LINES} == {}


def test_everything_public_is_described() -> None:
    """Modules, classes, functions and methods whose names do not begin with an underscore have a docstring."""
    wrong = [found for path in MODULES for found in _undescribed(path)]
    assert wrong == []


def _undescribed(path: Path) -> Iterator[str]:
    tree = _tree(path)
    if ast.get_docstring(tree) is None:
        yield _name(path)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and _is_public(node)]
    for body in [tree.body, *(node.body for node in classes)]:
        for node in body:
            if (
                isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                and _is_public(node)
                and ast.get_docstring(node) is None
            ):
                yield f"{_name(path)}:{node.lineno} {node.name}"


def _is_public(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return not node.name.startswith("_")
