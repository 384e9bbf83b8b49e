"""What stands between the service and whoever asks it: who may, for how long, and what is sent while it changes."""
