"""What children of trained models are worth before any training: many are looked at, few are trained."""
