"""Tables at rest: readers, what a label cell means, the split into train and held-out rows."""
