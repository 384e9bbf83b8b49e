"""Ways to make a model of others: their registry, stitching, merging layers, retraining blocks."""
