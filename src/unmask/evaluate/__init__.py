"""Scores of classifiers and features, and what paired comparisons of them allow one to say."""
