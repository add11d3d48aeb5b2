"""Chromaprint fingerprints: making, coding, comparing and judging them. Knows no database and no object store."""
