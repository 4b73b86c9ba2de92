"""Run directories of any kind → one report: read (`read`), then put in order (`page`)."""
