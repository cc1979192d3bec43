"""Where plugs meet the host: discovery, switches, registries, the board."""
