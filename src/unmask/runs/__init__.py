"""What a run writes: which files (`layout`), what is in them (`records`), how they are claimed, written and read."""
