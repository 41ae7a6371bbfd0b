"""The table of settings."""

from __future__ import annotations

import pytest

from queuectl.domain.errors import Invalid
from queuectl.domain.job import Spec
from queuectl.settings import ALIASES, SETTINGS, Settings, canonical


@pytest.mark.parametrize("name", SETTINGS)
def test_every_default_is_a_value_of_its_setting(name: str) -> None:
    settings = Settings({})
    settings.check(name, settings.text(name))
    assert settings.is_default(name)
    assert settings[name] == Settings({name: SETTINGS[name].default})[name]


def test_the_defaults_are_those_of_a_plain_spec() -> None:
    given = Settings({}).spec_defaults()
    plain = Spec()
    assert given == {name: getattr(plain, name) for name in given}
    assert set(given) == {
        "max_retries", "backoff_base", "backoff_initial", "backoff_max", "backoff_jitter", "timeout", "kill_grace",
        "shell",
    }  # fmt: skip


def test_the_first_delay_follows_the_base_until_it_is_set() -> None:
    assert Settings({"backoff-base": "5"})["backoff-initial"] == 5
    assert Settings({"backoff-base": "5", "backoff-initial": "1m"})["backoff-initial"] == 60
    assert Settings({"backoff-base": "5", "backoff-initial": "backoff-base"})["backoff-initial"] == 5


@pytest.mark.parametrize("name", SETTINGS)
def test_both_spellings_of_a_name_are_taken(name: str) -> None:
    assert canonical(name) == canonical(name.replace("-", "_")) == name


def test_every_alias_stands_for_a_setting() -> None:
    for alias, name in ALIASES.items():
        assert canonical(alias) == canonical(alias.replace("-", "_")) == name


def test_an_unknown_setting_is_named_with_the_nearest_one() -> None:
    with pytest.raises(Invalid, match="unknown setting 'max-retry'") as refused:
        canonical("max-retry")
    assert refused.value.hint == "did you mean 'max-retries'?"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max-retries", "0", 0), ("backoff-max", "2h", 7200), ("timeout", "90s", 90), ("timeout", "none", None),
        ("timeout", "off", None), ("durability", "normal", "normal"), ("output-max", "64k", 65536),
        ("output-max", "1GiB", 1 << 30), ("output-max", "2048", 2048), ("output-max", "1mb", 1 << 20),
        ("env-capture", "PATH, LC_*", ("PATH", "LC_*")), ("env-capture", "", ()), ("retention-dead", "7d", 604800),
        ("retention-dead", "never", None),
    ],
)  # fmt: skip
def test_values_are_read(name: str, text: str, value: object) -> None:
    assert Settings({name: text})[name] == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max-retries", "-1"), ("max-retries", "many"), ("backoff-base", "0"), ("backoff-initial", "backoff-bas"),
        ("backoff-jitter", "2"), ("timeout", "0"), ("timeout", "soon"), ("durability", "half"), ("output-max", "5"),
        ("output-max", "2g"), ("output-max", "big"), ("output-max", ""), ("retention-dead", "-1d"),
    ],
)  # fmt: skip
def test_what_is_no_value_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(Invalid, match=name):
        Settings({}).check(name, text)


@pytest.mark.parametrize("name", [name for name in SETTINGS if name.startswith("retention-")])
@pytest.mark.parametrize("text", ["30", "0", "7.5", "3599"])
def test_a_short_retention_needs_its_unit(name: str, text: str) -> None:
    with pytest.raises(Invalid, match=f"{name} {text} would be {text} seconds") as refused:
        Settings({}).check(name, text)
    assert f"{text}d for days" in refused.value.hint
    for unit in ("s", "d"):
        Settings({}).check(name, f"{text}{unit}")
    Settings({}).check(name, "3600")
    assert Settings({name: text})[name] == float(text)  # as an earlier release has kept it


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [("timeout", "90", "90s"), ("timeout", "none", "none"), ("kill-grace", "1.5", "1.5s"), ("backoff-max", "2h", "2h"),
     ("max-retries", "3", "3"), ("retention-dead", "never", "never"),
     ("backoff-initial", "backoff-base", "backoff-base"),
     ("retention-dead", "7200", "7200s"), ("output-max", "2048", "2048")],
)  # fmt: skip
def test_a_duration_is_shown_with_its_unit(name: str, text: str, shown: str) -> None:
    assert Settings({name: text}).text(name) == shown


@pytest.mark.parametrize("text", ["A B", "PATH,A=B", "PATH LANG"])
def test_what_is_no_list_of_variables_is_refused_but_read_where_it_is_stored(text: str) -> None:
    with pytest.raises(Invalid, match="is not a variable"):
        Settings({}).check("env-capture", text)
    assert Settings({"env-capture": text})["env-capture"]
