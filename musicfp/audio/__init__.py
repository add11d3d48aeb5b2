"""Audio files: what they are, what they say about themselves, decoding and encoding them within limits."""
