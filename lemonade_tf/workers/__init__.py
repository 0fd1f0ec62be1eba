"""What a worker process does with a task."""
