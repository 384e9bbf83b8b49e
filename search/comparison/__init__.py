"""The models of a run beside each other and beside baselines, on the same held-out rows."""
