"""Darknet's files, read and written: `.cfg`, `.weights` and `.names`."""
