"""Grids of cells, each measured once, on this machine's processes or on a Ray cluster."""
