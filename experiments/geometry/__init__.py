"""Density and complexity of one organism: which prompts are recorded, recorded, measured, shown."""
