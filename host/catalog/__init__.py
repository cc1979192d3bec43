"""Which weights there are, by content."""
