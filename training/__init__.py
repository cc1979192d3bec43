"""Training code for the models the repository ships."""
