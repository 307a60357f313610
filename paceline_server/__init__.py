"""Entry points of the server distribution; the servers themselves live beside this package."""
