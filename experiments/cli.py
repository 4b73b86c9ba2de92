"""The ``gatescope`` command. Everything it does is a call that a notebook can make too.

Signals are taken first; whatever takes time to import is imported after that.
"""

import os
import sys

from experiments.runs import interrupts

# Two processes whose threads spin while they wait can slow each other down tenfold; sleeping
# waits cost a few per cent. Read by the maths libraries when they are loaded, so set first.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TQDM_DISABLE", "1")


def main() -> None:
    """Entry point of the ``gatescope`` command."""
    interrupts.at_once()
    from experiments.ending import guarded, open_streams

    open_streams()
    status = guarded(_command)
    interrupts.at_once()
    sys.exit(status)


def _command() -> None:
    from experiments.ending import check_place

    check_place(sys.argv[1:])
    from experiments.commands import app

    app()


if __name__ == "__main__":
    main()
