"""Warming caches: every node reads the keys that it will be asked for, before anybody asks."""
