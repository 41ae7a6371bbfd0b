"""Settings, tokens and the audit log."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from queuectl.client import documents
from queuectl.client.facade import DEEDS, Client
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.token import Role
from queuectl.settings import SETTINGS, canonical
from queuectl.web.ask import ask
from queuectl.web.guard import Door
from queuectl.web.rest.operation import Query, answer, object_body, text_in, whole_number
from queuectl.wire.kinds import JsonObject

DEEDS_MAX = 1000
ID_MAX = 1 << 62


# --- settings -------------------------------------------------------------------------------


async def settings(request: Request, query: Query) -> Response:
    """Every setting."""
    found = await ask(request, Client.settings)
    return answer([documents.setting_to_json(found, name) for name in SETTINGS])


async def setting(request: Request, query: Query) -> Response:
    """One setting."""
    name = _name(request)
    return answer(documents.setting_to_json(await ask(request, Client.settings), name))


async def set_setting(request: Request, query: Query) -> Response:
    """Changes a setting, for jobs added later."""
    name = _name(request)
    document = await object_body(request, "value")
    value = document.get("value")
    text = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else text_in(document, "value")

    def change(client: Client) -> JsonObject:
        client.set_setting(name, text)
        return documents.setting_to_json(client.settings(), name)

    return answer(await ask(request, change))


async def unset_setting(request: Request, query: Query) -> Response:
    """Restores a setting's default."""
    name = _name(request)

    def change(client: Client) -> JsonObject:
        client.unset_setting(name)
        return documents.setting_to_json(client.settings(), name)

    return answer(await ask(request, change))


def _name(request: Request) -> str:
    """The name of the setting in the path. Raises `NotFound`."""
    try:
        return canonical(request.path_params["name"])
    except Invalid as error:
        raise NotFound(error.message, error.hint) from None


# --- tokens ---------------------------------------------------------------------------------


async def tokens(request: Request, query: Query) -> Response:
    """All tokens, without their text."""
    found = await ask(request, Client.tokens)
    return answer([documents.TOKEN.json(token) for token in found])


async def create_token(request: Request, query: Query) -> Response:
    """Makes a token and shows it once."""
    document = await object_body(request, "name", "role")
    name, role = text_in(document, "name"), text_in(document, "role") if "role" in document else Role.READ_ONLY.value
    token, text = await ask(request, lambda client: client.create_token(name, role))
    return answer({**documents.TOKEN.json(token), "token": text}, 201)


async def revoke_token(request: Request, query: Query) -> Response:
    """Revokes a token, given by name or id."""
    ref = request.path_params["ref"]
    await ask(request, lambda client: client.revoke_token(ref))
    door: Door = request.app.state.door
    door.forget()
    return Response(status_code=204)


# --- audit ----------------------------------------------------------------------------------


async def audit(request: Request, query: Query) -> Response:
    """What people did, latest first; with `before`, only entries with a smaller id."""
    limit = whole_number(query, "limit", 1, DEEDS_MAX) or DEEDS
    before = whole_number(query, "before", 1, ID_MAX)
    found = await ask(request, lambda client: client.audit(limit=limit, before=before))
    return answer([documents.DEED.json(deed) for deed in found])
