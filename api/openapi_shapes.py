"""Bodies, queries and answers of the routes as JSON Schema; bodies come from the dataclasses that check them."""

from __future__ import annotations

from typing import Any

from stretto.host.contracts.request import INTERNAL, InvocationRequest
from stretto.host.settings import Settings

from .accounts import UserForm
from .downloads import DownloadForm
from .envelope import MEDIA_TYPE
from .history import HISTORY_COLUMNS
from .idempotency import KEY
from .meanings import CONTROL_MEANINGS, MEANINGS, NODE_MEANINGS
from .model_form import ModelForm
from .model_objects import MODEL, MODEL_COLUMNS
from .people import USER, USER_COLUMNS

__all__ = ["Offered", "answer_of", "body_of", "query_of", "schemas"]

Shape = dict[str, Any]
# kind -> names
Offered = tuple[tuple[str, tuple[str, ...]], ...]

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
REF = "#/components/schemas/{model}"
TEXT: Shape = {"type": "string"}
NULL: Shape = {"type": "null"}
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


def _ref(name: str) -> Shape:
    return {"$ref": REF.format(model=name)}


def _list(items: Shape) -> Shape:
    return {"type": "array", "items": items}


def _object(required: str = "", **properties: Shape) -> Shape:
    made: Shape = {"type": "object", "properties": properties}
    return {**made, "required": required.split()} if required else made


def schemas(names: Offered) -> dict[str, Shape]:
    """Give the named schemas, with what plugins offer in their enums."""
    made = {KINDS[kind][0]: _names(kind, known) for kind, known in names}
    for owner in (InvocationRequest, ModelForm, UserForm, DownloadForm):
        made |= _dataclass(owner, nullable=True)
    made |= _dataclass(Settings, nullable=False)
    made["ImageRef"] = IMAGE
    one_control = {"anyOf": [_ref("ControlNet"), _ref("ControlRequest")]}
    for owner_name in ("InvocationRequest", "NodeRequest"):
        fields = made[owner_name]["properties"]
        fields["controlnet"] = {"anyOf": [_ref("ControlNet"), _list(one_control), NULL]}
        fields["controlnets"] = {"anyOf": [_list(one_control), NULL]}
    made["InvocationRequest"]["properties"]["tile"] = TILE
    for owner_name, meanings in MEANT.items():
        fields = made[owner_name]["properties"]
        fields |= {
            name: {**field, "description": meanings.get(name, LATER)} for name, field in fields.items()
        }
    made["InvocationRequest"]["properties"]["synchronous"] = SYNCHRONOUS
    return dict(sorted((made | ANSWERS).items()))


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
        choices = [_ref(NAMED[name]) if choice.get("type") == "string" else choice for choice in choices]
    if nullable and NULL not in choices:
        choices.append(NULL)
    return {**(choices[0] if len(choices) == 1 else {"anyOf": choices}), **default}


def _one(items: Shape, name: str) -> Shape:
    if items == _ref("Adapter"):
        return {"anyOf": [{"type": "string", "maxLength": 1024}, items]}
    if name in NAMED:
        others = [choice for choice in items.get("anyOf", ()) if choice == NULL]
        stage = [{"type": "object"}] if name == "upscale" else []
        return {"anyOf": [_ref(NAMED[name]), *others, *stage]}
    return items


INVOCATION = _object(
    "status uuid",
    id={"type": "integer"},
    uuid=TEXT,
    status={"enum": ["queued", "processing", "completed", "error"]},
    progress={"type": ["number", "null"], "minimum": 0, "maximum": 1},
    step={"type": ["integer", "null"]},
    total={"type": ["integer", "null"]},
    duration={"type": "number", "description": "seconds"},
    rate={"type": ["number", "null"], "description": "steps a second"},
    images={"type": ["array", "null"], "items": TEXT},
    message={"type": "string", "description": "what failed"},
    metadata={"type": "object"},
)
PROBLEM = _object(
    "type title status detail",
    type={"type": "string", "format": "uri-reference", "description": "leads to a page about it"},
    title=TEXT,
    status={"type": "integer"},
    detail=TEXT,
    instance={"type": "string", "format": "uri-reference"},
    nearest={"description": "what would do"},
    errors=_list(
        _object(
            "detail",
            detail=TEXT,
            pointer={"type": "string", "description": "RFC 6901, as a fragment, into the body"},
            parameter={"type": "string", "description": "of the query string"},
            nearest={"description": "what would do"},
        )
    ),
)
ANSWERS: dict[str, Shape] = {
    "Meta": _object("params", params={"type": "object"}, count={"type": "integer"}),
    "Errors": _object(
        "errors", errors=_list(_object("status title detail", status=TEXT, title=TEXT, detail=TEXT))
    ),
    "Problem": PROBLEM,
    "Invocation": INVOCATION,
    "Object": _object(
        "type attributes", type=TEXT, attributes={"type": "object"}, include={"type": "object"}
    ),
    "Credentials": _object("username password", username=TEXT, password=TEXT),
}

OBJECTS = _list(_ref("Object"))
# (method, path) -> schema of the body; any object unless it is here
BODIES = {
    ("POST", "/api/invoke"): _ref("InvocationRequest"),
    ("POST", "/api/plan"): _ref("InvocationRequest"),
    ("POST", "/api/invocation/stop"): _object(uuid=TEXT),
    ("POST", "/api/settings"): _ref("Settings"),
    ("POST", "/api/download"): _ref("DownloadForm"),
    ("POST", "/api/download/cancel"): _object("url", url=TEXT),
    ("POST", "/api/installation"): _object(
        directories={"type": "object", "additionalProperties": TEXT}, create={"type": "boolean"}
    ),
    ("POST", "/api/installation/<directory>/move"): _object(
        "directory", directory=TEXT, create={"type": "boolean"}
    ),
    ("POST", "/api/models"): _ref("ModelForm"),
    ("PATCH", "/api/models/<name>"): _ref("ModelForm"),
    ("POST", "/api/users"): _ref("UserForm"),
    ("PATCH", "/api/users/<username>"): _ref("UserForm"),
    ("POST", "/api/users/<username>"): _ref("UserForm"),
    ("POST", "/api/login"): _ref("Credentials"),
    ("POST", "/login"): _ref("Credentials"),
}
# (method, path) -> schema of `data`; anything unless it is here
DATA = {
    ("POST", "/api/invoke"): _ref("Invocation"),
    ("GET", "/api/invocation"): _list(_ref("Invocation")),
    ("GET", "/api/invocation/<uuid>"): _ref("Invocation"),
    ("POST", "/api/invocation/stop"): NULL,
    ("DELETE", "/api/invocation/<uuid>"): NULL,
    ("DELETE", "/api/invocation-history/<uuid>"): NULL,
    ("GET", "/api/invocation-history"): OBJECTS,
    ("GET", "/api/invocation-history/<uuid>"): OBJECTS,
    ("GET", "/api/models"): OBJECTS,
    ("GET", "/api/models/<name>"): OBJECTS,
    ("POST", "/api/models"): _ref("Object"),
    ("PATCH", "/api/models/<name>"): _ref("Object"),
    ("DELETE", "/api/models/<name>"): NULL,
    ("GET", "/api/users"): OBJECTS,
    ("GET", "/api/users/<username>"): OBJECTS,
    ("POST", "/api/users"): _ref("Object"),
    ("PATCH", "/api/users/<username>"): _ref("Object"),
    ("POST", "/api/users/<username>"): _ref("Object"),
    ("DELETE", "/api/users/<username>"): NULL,
    ("GET", "/self"): _ref("Object"),
    ("POST", "/api/login"): _ref("Object"),
    ("POST", "/login"): _ref("Object"),
    ("GET", "/api/settings"): _ref("Settings"),
    ("POST", "/api/settings"): _ref("Settings"),
    ("GET", "/api/checkpoints"): _list(TEXT),
    ("GET", "/api/lora"): _list(TEXT),
    ("GET", "/api/lycoris"): _list(TEXT),
    ("GET", "/api/inversion"): _list(TEXT),
    ("GET", "/api/inversions"): _list(TEXT),
    ("GET", "/api/model-options"): _list(_object("type name", type=TEXT, name=TEXT)),
}
# path -> media type of answers that have no envelope
PLAIN = {
    "/api/openapi.json": JSON,
    "/api/docs": "text/html",
    "/api/problems": "text/html",
    "/api/problems/<slug>": "text/html",
    "/api/invocation/images/<name:path>": "image/png",
    "/api/invocation/intermediates/<name:path>": "image/png",
    "/api/invocation/thumbnails/<name:path>": "image/png",
    "/api/invocation/nsfw": "image/svg+xml",
    "/api/invocation/<uuid>/events": "text/event-stream",
    "/metrics": "text/plain",
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
        return {"multipart/form-data": _object("file", file={"type": "string", "format": "binary"})}
    schema = BODIES.get((method, path), {"type": "object"})
    return {JSON: schema, FORM: schema} if path.endswith("/login") else {JSON: schema}


def answer_of(method: str, path: str) -> dict[str, Shape]:
    """Give the schema of an answer by media type."""
    if path in PLAIN:
        return {PLAIN[path]: {} if PLAIN[path] == JSON else TEXT}
    return {MEDIA_TYPE: _object("meta data", meta=_ref("Meta"), data=DATA.get((method, path), {}))}


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
    texts = _list(TEXT)
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
        _query("level", _list(TEXT), "any of them"),
        _query("logger", _list(TEXT), "any of them"),
        _query("search", TEXT, "a part of the line"),
    ],
    ("POST", "/api/invocation/stop"): [_query("uuid", TEXT, "which one, if the body does not say")],
}
