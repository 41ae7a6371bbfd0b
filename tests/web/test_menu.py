"""The menu of the pages."""

from __future__ import annotations

import re

from tests.web.service import Service


def test_the_list_of_keys_has_every_page_of_the_menu(service: Service) -> None:
    page = service.full.get("/settings").text
    menu = dict(re.findall(r'<a href="[^"]*" data-key="(.)"[^>]*>.*?</svg>([^<]+)', page))
    _, _, keys = page.partition("<kbd>g</kbd> then")
    told = dict(re.findall(r"<kbd>(.)</kbd> ([\w ]+)", keys.partition("</dd>")[0]))
    assert menu
    assert {key: name.lower() for key, name in told.items()} == {key: name.lower() for key, name in menu.items()}
