"""Everything that touches a model: loading, tokens, running, editing, patching, gates."""

import os

# Read when huggingface_hub is imported: it would ask its server which program it serves, even where
# only files that lie here are read.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
