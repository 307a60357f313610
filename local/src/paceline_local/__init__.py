"""A cluster on one machine: planning, starting, watching and stopping its processes.

For Linux and macOS; what only talks to clusters does not import it.
"""
