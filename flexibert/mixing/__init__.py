"""Token mixing: one file per operation, and the hetero layers that hold several."""
