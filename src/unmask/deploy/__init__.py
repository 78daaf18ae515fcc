"""From a run to its use: predictions, features, and encoders that run without this package. Imports nothing heavy."""
