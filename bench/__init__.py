"""Measurements. Figures depend on the machine, so each is printed as a ratio within one run."""
