"""The pages and figures of the theory laboratory."""
