"""The subcommands of ``gatescope``: options in, calls out, results printed."""
