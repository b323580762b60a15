"""Generated sets of handwritten digits, and their readers: scenes, single digits, events."""
