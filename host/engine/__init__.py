"""The only place with torch in it."""
