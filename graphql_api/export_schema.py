"""Writes `schema.graphql`, which is checked in so that changes of the schema are seen in review.

Run `python -m graphql_api.export_schema` after changing a type.
"""

from pathlib import Path

from graphql_api.schema import sdl

SCHEMA_PATH = Path(__file__).with_name("schema.graphql")


def main() -> None:
    """Write the file."""
    SCHEMA_PATH.write_text(sdl(), encoding="utf-8")


if __name__ == "__main__":
    main()
