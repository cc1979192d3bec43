"""Bodies and queries of the routes as JSON Schema; bodies come from the dataclasses that check them."""

from __future__ import annotations

from typing import Any

from stretto.host.contracts.request import INTERNAL, InvocationRequest
from stretto.host.settings import Settings

from .accounts import UserForm
from .downloads import DownloadForm
from .history import HISTORY_COLUMNS
from .idempotency import KEY
from .json_schema import NULL, REF, TEXT, Shape, listed, ref, thing
from .meanings import CONTROL_MEANINGS, MEANINGS, NODE_MEANINGS
from .model_form import ModelForm
from .model_objects import MODEL, MODEL_COLUMNS
from .openapi_answers import answer_schemas
from .people import USER, USER_COLUMNS
from .plugin_parameters import Declared, parameters_schema

__all__ = ["Offered", "body_of", "query_of", "schemas"]

# kind -> names
Offered = tuple[tuple[str, tuple[str, ...]], ...]

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
# field -> the schema of the names that it takes
NAMED = {
    "scheduler": "Scheduler",
    "multi_scheduler": "Scheduler",
    "controlnet": "ControlNet",
    "upscale": "Upscaler",
    "upscale_diffusion_controlnet": "ControlNet",
    "vae": "VAE",
}
# kind -> its schema, and the folder of files that serve as well
KINDS = {
    "schedulers": ("Scheduler", None),
    "controlnets": ("ControlNet", "controlnet"),
    "upscalers": ("Upscaler", "upscaler"),
    "vaes": ("VAE", "vae"),
}
IMAGE: Shape = {
    "type": "string",
    "description": "A data URI (`data:image/png;base64,...`), or a path in the folder `images` or `inputs`.",
}
TILE: Shape = {
    "anyOf": [
        {"type": "boolean"},
        {"enum": ["x", "y"]},
        {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2},
        NULL,
    ],
    "default": False,
}
LATER = "Answered with 501 by this version when set."
SYNCHRONOUS: Shape = {
    "type": ["boolean", "null"],
    "default": False,
    "description": "Answer when the pictures are there, or after the setting `max_wait_s`.",
}
MEANT = {
    "InvocationRequest": MEANINGS,
    "NodeRequest": MEANINGS | NODE_MEANINGS,
    "ControlRequest": CONTROL_MEANINGS,
}


def schemas(names: Offered, declared: Declared = ()) -> dict[str, Shape]:
    """Give the named schemas, with what plugins offer in their enums, and the parameters that they take."""
    made = {KINDS[kind][0]: _names(kind, known) for kind, known in names}
    for owner in (InvocationRequest, ModelForm, UserForm, DownloadForm):
        made |= _dataclass(owner, nullable=True)
    made |= _dataclass(Settings, nullable=False)
    made["ImageRef"] = IMAGE
    one_control = {"anyOf": [ref("ControlNet"), ref("ControlRequest")]}
    for owner_name in ("InvocationRequest", "NodeRequest"):
        fields = made[owner_name]["properties"]
        fields["controlnet"] = {"anyOf": [ref("ControlNet"), listed(one_control), NULL]}
        fields["controlnets"] = {"anyOf": [listed(one_control), NULL]}
    made["InvocationRequest"]["properties"] |= {"tile": TILE, "plugins": parameters_schema(declared)}
    made["ModelForm"]["properties"]["plugins"] = {
        **parameters_schema(declared),
        "description": "Parameters of plugins for invocations that say nothing of them: `{NAME: {...}}`.",
    }
    for owner_name, meanings in MEANT.items():
        fields = made[owner_name]["properties"]
        fields |= {
            name: {**field, "description": meanings.get(name, LATER)} for name, field in fields.items()
        }
    made["InvocationRequest"]["properties"]["synchronous"] = SYNCHRONOUS
    return dict(sorted((made | CREDENTIALS | answer_schemas()).items()))


def _names(kind: str, known: tuple[str, ...]) -> Shape:
    folder = KINDS[kind][1]
    listed: Shape = {"type": "string", "enum": list(known)}
    if folder is None:
        return {**listed, "description": "Those that plugins offer."}
    file = {"type": "string", "maxLength": 1024, "description": f"A file or folder in `models/{folder}`."}
    return {"anyOf": [listed, file] if known else [file]}


def _dataclass(owner: Any, *, nullable: bool) -> dict[str, Shape]:
    from pydantic import TypeAdapter

    whole = TypeAdapter(owner).json_schema(ref_template=REF)
    made: dict[str, Shape] = whole.pop("$defs", {})
    made[owner.__name__] = whole
    for shape in made.values():
        fields = {name: field for name, field in shape["properties"].items() if name not in INTERNAL}
        required = shape.get("required", ())
        shape["properties"] = {
            name: _field(name, field, nullable=nullable and name not in required)
            for name, field in fields.items()
        }
        shape.pop("title", None)
    return made


def _field(name: str, field: Shape, *, nullable: bool) -> Shape:
    default = {"default": field["default"]} if "default" in field else {}
    bare = {key: value for key, value in field.items() if key not in ("title", "default")}
    choices = list(bare.get("anyOf", [bare]))
    if "items" in bare and nullable:  # the one thing that would be in a list serves too
        items = bare["items"]
        bare["items"] = _one(items, name)
        choices = [bare] if name == "nodes" else [bare, bare["items"]]
        default = {key: list(value) for key, value in default.items()}
    elif name in NAMED:
        choices = [ref(NAMED[name]) if choice.get("type") == "string" else choice for choice in choices]
    if nullable and NULL not in choices:
        choices.append(NULL)
    return {**(choices[0] if len(choices) == 1 else {"anyOf": choices}), **default}


def _one(items: Shape, name: str) -> Shape:
    if items == ref("Adapter"):
        return {"anyOf": [{"type": "string", "maxLength": 1024}, items]}
    if name in NAMED:
        others = [choice for choice in items.get("anyOf", ()) if choice == NULL]
        stage = [{"type": "object"}] if name == "upscale" else []
        return {"anyOf": [ref(NAMED[name]), *others, *stage]}
    return items


CREDENTIALS = {"Credentials": thing("username password", username=TEXT, password=TEXT)}
# (method, path) -> schema of the body; any object unless it is here
BODIES = {
    ("POST", "/api/invoke"): ref("InvocationRequest"),
    ("POST", "/api/plan"): ref("InvocationRequest"),
    ("POST", "/api/invocation/stop"): thing(uuid=TEXT),
    ("POST", "/api/models/<name>/tensorrt/<network>"): thing(acceleration={"type": ["string", "null"]}),
    ("POST", "/api/settings"): ref("Settings"),
    ("POST", "/api/download"): ref("DownloadForm"),
    ("POST", "/api/download/cancel"): thing("url", url=TEXT),
    ("POST", "/api/installation"): thing(
        directories={"type": "object", "additionalProperties": TEXT}, create={"type": "boolean"}
    ),
    ("POST", "/api/installation/<directory>/move"): thing(
        "directory", directory=TEXT, create={"type": "boolean"}
    ),
    ("POST", "/api/models"): ref("ModelForm"),
    ("PATCH", "/api/models/<name>"): ref("ModelForm"),
    ("PATCH", "/api/plugins/<name>"): ref("PluginForm"),
    ("POST", "/api/users"): ref("UserForm"),
    ("PATCH", "/api/users/<username>"): ref("UserForm"),
    ("POST", "/api/users/<username>"): ref("UserForm"),
    ("POST", "/api/login"): ref("Credentials"),
    ("POST", "/login"): ref("Credentials"),
}
# collection -> its columns, and what can be included
COLLECTIONS = {
    "/api/invocation-history": (HISTORY_COLUMNS, ()),
    "/api/models": (MODEL_COLUMNS, MODEL.relations),
    "/api/users": (USER_COLUMNS, USER.relations),
}


def body_of(method: str, path: str) -> dict[str, Shape]:
    """Give the schema of a body by media type."""
    if path == "/api/installation/<directory>":
        return {"multipart/form-data": thing("file", file={"type": "string", "format": "binary"})}
    schema = BODIES.get((method, path), {"type": "object"})
    return {JSON: schema, FORM: schema} if path.endswith("/login") else {JSON: schema}


def query_of(method: str, path: str) -> list[Shape]:
    """Give the query parameters, which may be given several times each in a collection, and the headers."""
    if (method, path) in OWN:
        return OWN[method, path]
    if method != "GET" or path not in COLLECTIONS:
        return []
    columns, relations = COLLECTIONS[path]
    named = "|".join(columns)
    sortable = "|".join(name for name, column in columns.items() if column.kind != "json")
    whole = {"type": "integer", "minimum": 0}
    texts = listed(TEXT)
    made = [
        _query("limit", {**whole, "default": 100}, "how many; 0 is all"),
        _query("offset", {**whole, "default": 0}, "after how many"),
        _query("sort", texts, f"column:asc or column:desc; columns: {sortable}"),
        _query("ilike", texts, f"column:text, any of them; columns: {named}"),
        _query("filter", texts, f"column:value, all of them; columns: {sortable}"),
    ]
    if relations:
        nested = f"nested by dots; relations: {'|'.join(relations)}"
        made.append(_query("include", texts, nested))
    return made


def _query(name: str, schema: Shape, words: str) -> Shape:
    return {"name": name, "in": "query", "schema": schema, "description": words}


def _header(name: str, words: str) -> Shape:
    return {"name": name, "in": "header", "schema": TEXT, "description": words}


# (method, path) -> parameters that no other call has
OWN = {
    ("POST", "/api/invoke"): [_header(KEY, "the same key and body get the first answer again")],
    ("GET", "/api/invocation/<uuid>/events"): [
        _header("Last-Event-ID", "what was heard last; the events after it come"),
        _query("previews", {"type": "boolean", "default": False}, "name the intermediates too"),
    ],
    ("GET", "/api/civitai/<kind>"): [
        _query(name, TEXT, words)
        for name, words in (
            ("query", "words of its name"),
            ("page", "from 1"),
            ("sort", "as CivitAI names it"),
            ("period", "as CivitAI names it"),
            ("nsfw", "true or false"),
            ("allow_commercial_use", "as CivitAI names it"),
        )
    ],
    ("GET", "/api/logs"): [
        _query("since", TEXT, "a time, such as 2026-01-31T12:00:00"),
        _query("level", listed(TEXT), "any of them"),
        _query("logger", listed(TEXT), "any of them"),
        _query("search", TEXT, "a part of the line"),
    ],
    ("POST", "/api/invocation/stop"): [_query("uuid", TEXT, "which one, if the body does not say")],
    ("POST", "/api/models/<name>/tensorrt/<network>"): [
        _query("acceleration", TEXT, "by which compiler, if the body does not say")
    ],
}
