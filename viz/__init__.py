"""Figures and the single-file offline report page; nothing here runs a model or touches a file."""
