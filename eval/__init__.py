"""The evaluation of recognition: real music, degraded queries with known truth, recognisers, one table."""
