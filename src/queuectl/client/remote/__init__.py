"""A queue on a server, over its REST API."""
