"""From options to a result: one level, the hierarchy, provenance, summary."""
