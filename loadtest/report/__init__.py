"""Runs side by side, as a page and as charts."""
