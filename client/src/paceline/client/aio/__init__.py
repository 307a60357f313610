"""``AsyncClient``: the core on an event loop."""
