"""Scanning a model for a trigger that nobody has told: candidates, stages, answers, verdict."""
