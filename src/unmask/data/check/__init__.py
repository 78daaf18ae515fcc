"""A scan of a data set before a run."""
