"""The assets: one module per stage, each stage one step over a batch of partitions."""
