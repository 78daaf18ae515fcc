"""Tasks, what is learned from images: each a frozen dataclass with its labels, loss, scores and probe."""
