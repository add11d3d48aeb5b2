"""Metadata as people see it in Dagster's UI: pictures, times and links, designed once."""

import base64

import dagster as dg


def picture(png: bytes, description: str) -> dg.MarkdownMetadataValue:
    """Return an inline picture. The PNGs are a few kilobytes, since the event log keeps them."""
    return dg.MetadataValue.md(f"![{description}](data:image/png;base64,{base64.b64encode(png).decode()})")


REPEATED_NOTE = {"repeated": dg.MetadataValue.text("Made by an earlier run; recorded again from the catalogue.")}


def seconds(value_s: float) -> dg.FloatMetadataValue:
    """Return a duration in seconds, to the millisecond."""
    return dg.MetadataValue.float(round(value_s, 3))


def share(value: float) -> dg.FloatMetadataValue:
    """Return a ratio or score, to four places."""
    return dg.MetadataValue.float(round(value, 4))
