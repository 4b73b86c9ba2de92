"""Fingerprint verification as a statistical test: is this model ours?"""
