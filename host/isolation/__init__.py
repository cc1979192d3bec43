"""Plugins in processes of their own, each with its own virtual environment."""
