"""Model folders: remote code, validation of weight files, model cards, Auto classes."""
