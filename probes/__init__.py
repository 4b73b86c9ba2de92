"""Linear probes and the statistics reported with them; nothing here ever sees a model."""
