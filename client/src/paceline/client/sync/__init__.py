"""``Client``: the core in the threads that call it."""
