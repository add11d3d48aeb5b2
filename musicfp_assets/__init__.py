"""Dagster's face of musicfp: assets, sensors, schedules and checks. All logic is in `musicfp`."""
