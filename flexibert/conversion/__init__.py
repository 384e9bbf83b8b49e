"""Models of other families as FlexiBERT's, and back."""
