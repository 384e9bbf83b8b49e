"""Ways to make a model of others: stitching, merging layers, retraining blocks."""
