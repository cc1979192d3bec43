"""Compiled engines on disk, kept by content."""
