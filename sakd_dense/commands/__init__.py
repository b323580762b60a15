"""What the tools share: arguments, the preparation of a run, test-time augmentation."""
