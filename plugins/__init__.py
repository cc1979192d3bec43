"""The built-in plugins; each stands alone and can be copied out."""
