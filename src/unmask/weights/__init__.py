"""Weights in and out: files and their cards, public weights, and how either fits the network that starts from them."""
