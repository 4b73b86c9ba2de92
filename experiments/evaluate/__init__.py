"""Six properties of a trigger-behaviour mapping, and what they say of its security."""
