"""Models of others that extractors run: what is known of each, where its file is, and how it gets there."""
