"""Forecast time and memory of trainings on this machine from a few real, timed steps."""
