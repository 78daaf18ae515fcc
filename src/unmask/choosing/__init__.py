"""Which images to label: features of a pool, an order in which to label it, and a page to label on."""
