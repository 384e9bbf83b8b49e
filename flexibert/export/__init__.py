"""A model for outside of PyTorch: a folder that answers without this project."""
