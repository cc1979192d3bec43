"""Numbered, forward migrations of the database."""
