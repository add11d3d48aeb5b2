"""Use cases that join audio, fingerprints, features, catalogue and store; what Dagster and the API call."""
