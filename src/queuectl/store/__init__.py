"""Stores keep jobs. They claim and replace them atomically, and know no rule of a job's life."""
