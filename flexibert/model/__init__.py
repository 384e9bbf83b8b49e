"""The encoder as a transformers model: configuration, layers, heads, inputs."""
