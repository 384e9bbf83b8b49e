"""What an architecture costs: parameters, operations, latency."""
