"""Queuectl over HTTP: REST API, dashboard, metrics. Words in, words out; what is done, `Client` does."""
