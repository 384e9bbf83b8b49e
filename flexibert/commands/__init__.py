"""The commands of python -m flexibert, one file each."""
