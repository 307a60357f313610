"""A package, so that its cluster can end with its tests."""
