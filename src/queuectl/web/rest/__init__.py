"""The REST API below `/api/v1`. Routes and the OpenAPI document come from one table of operations."""
