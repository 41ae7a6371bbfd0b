"""Runs commands: the dispatcher talks to the store, the supervisor to the kernel."""
