"""Everything that touches a model: loading, tokens, running, editing, patching, gates."""
