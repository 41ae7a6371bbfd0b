"""Queuectl over HTTP: REST API, dashboard, metrics. This package only translates; `Client` does the work."""
