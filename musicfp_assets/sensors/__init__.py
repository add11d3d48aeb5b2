"""Sensors: they notice what is to be done by asking the bucket and our own tables, and ask for runs over batches."""
