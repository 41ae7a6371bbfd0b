"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# A failing example is printed with the blob that reproduces it; the machine's noise is no failure.
settings.register_profile("queuectl", deadline=None, print_blob=True)
settings.load_profile("queuectl")
