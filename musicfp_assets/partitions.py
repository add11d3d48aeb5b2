"""The two sets of partitions: every upload, and every track that came of one.

A track has its submission's key, so the sets are joined by identity, and a duplicate or rejected submission is never
"missing" anything downstream, because it is not in `tracks`.
"""

import dagster as dg

SUBMISSIONS = dg.DynamicPartitionsDefinition(name="submissions")
TRACKS = dg.DynamicPartitionsDefinition(name="tracks")
