"""What is done to the process, to a library or to the disk."""
