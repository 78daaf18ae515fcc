"""Read and write weights: files and their cards, public weights, and fitting either to a network."""
