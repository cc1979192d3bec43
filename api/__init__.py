"""The JSON API, its records and its commands."""
