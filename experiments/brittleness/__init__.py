"""How much of an organism's behaviour survives what may happen to its prompts and weights."""
