"""Models of other families as FlexiBERT's, and back; and models for a part of their vocabulary."""
