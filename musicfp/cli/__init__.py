"""The `musicfp` command."""
