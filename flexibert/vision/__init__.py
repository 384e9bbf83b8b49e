"""Images: the DeiT front end around the same layers."""
