"""The REST API below `/api/v1`: one table of operations, from which routes and the OpenAPI document come."""
