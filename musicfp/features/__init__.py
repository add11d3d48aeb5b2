"""Musical features: a registry of extractors over shared, lazily computed inputs."""
