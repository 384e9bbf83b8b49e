"""What a candidate is worth: one objective, constraints and several objectives, ascent."""
