"""The command line: one class per command, one module per room that it calls. torch is imported by `run` only."""
