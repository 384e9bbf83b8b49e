"""The candidates there are: a library's, a level's, and their features."""
