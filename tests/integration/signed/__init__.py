"""Clusters where everybody has to sign: one for all of these tests."""
