"""The room that reads files, configuration and seeds, and puts the others to work."""
