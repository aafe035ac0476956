"""The REST API under ``/api/v1``: routes, schemas, answers."""
