"""What follows from a table of scores: means, intervals, paired differences, verdicts. Pure functions."""
