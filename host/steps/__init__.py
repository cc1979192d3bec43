"""One function a kind of step."""
