"""Which images to label: features of a pool, an order for labeling it, and a page for labeling."""
