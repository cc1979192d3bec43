"""The host at work: worker process, queue, executor."""
