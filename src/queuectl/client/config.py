"""Changes settings, and restores their defaults."""

from __future__ import annotations

from queuectl.client.acting import note
from queuectl.domain.errors import Invalid
from queuectl.settings import Settings, canonical
from queuectl.store.port import LEASE_MIN_S, Store


def set_value(store: Store, who: str, name: str, value: str) -> None:
    """Checks and stores a setting. Raises `Invalid`."""
    name = canonical(name)
    Settings(store.config(), store.defaults).check(name, value)
    if name == "lease-ttl" and store.shared_by_machines and Settings({name: value})[name] < LEASE_MIN_S:
        raise Invalid(f"lease-ttl must be at least {LEASE_MIN_S:g}s on PostgreSQL, not {value!r}")
    with store.transaction():
        store.set_config(name, value)
        note(store, who, "SettingSet", f"{name}={value}")


def unset_value(store: Store, who: str, name: str) -> None:
    """Restores a setting's default."""
    name = canonical(name)
    with store.transaction():
        store.set_config(name, None)
        note(store, who, "SettingUnset", name)
