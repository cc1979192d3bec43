"""Request to plan to steps; pure."""
