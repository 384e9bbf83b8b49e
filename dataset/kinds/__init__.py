"""The types of tasks whose texts are marked from within: how they are read, encoded and measured, one file each."""
