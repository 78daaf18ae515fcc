"""Scores of a network on one set of images: metrics, probes, nearest neighbors, rank of features."""
