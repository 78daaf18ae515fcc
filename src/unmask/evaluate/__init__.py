"""Scores of a network on one set of images: metrics, probes, nearest neighbours, rank of features."""
