"""Speed of compiled engines on an NVIDIA GPU, next to torch's own."""
