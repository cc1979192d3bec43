"""For plugin authors and for us: tiny models and fixtures."""
