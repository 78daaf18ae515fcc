"""One loop for every stage: optimiser, schedule, checkpoints, engine."""
