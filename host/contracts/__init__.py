"""The values and shapes that host, plugins and API share; nothing here imports anything heavy."""
