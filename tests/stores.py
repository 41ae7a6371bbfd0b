"""Which faults are tried on which stores."""

from __future__ import annotations

import pytest

on_each_store = pytest.mark.parametrize("shop", ["sqlite", "postgres"], indirect=True)
"""The workshop on SQLite, and once more on PostgreSQL."""
