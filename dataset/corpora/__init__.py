"""Pre-training text: streams, packing, and the embedded corpus."""
