"""One loop for every stage: optimizer, schedule, checkpoints, engine."""
