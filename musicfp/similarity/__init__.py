"""Which tracks sound alike: embeddings, and the search for the nearest vectors."""
