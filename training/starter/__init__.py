"""The starter model: its world, its training, its judge and its export."""
