"""What every route answers with, as JSON Schema."""

from __future__ import annotations

from stretto.host.contracts.ports import JobStatus

from .compilers import COMPILERS
from .download_rows import CANCELED, COMPLETE, ERROR, QUEUED, RUNNING
from .envelope import MEDIA_TYPE
from .include import Relation
from .json_schema import NULL, NUMBER, TEXT, WHOLE, Shape, either, listed, ref, thing
from .model_objects import MODEL
from .openapi_plan import plan_schemas
from .people import USER
from .plugin_shapes import plugin_schemas

__all__ = ["answer_of", "answer_schemas"]

TIME: Shape = {"type": "string", "description": "local time, ISO 8601 without a zone"}
SECONDS: Shape = {"type": "number", "minimum": 0, "description": "seconds"}
COUNT: Shape = {"type": "integer", "minimum": 0}
ANY_OBJECT: Shape = {"type": "object"}
TEXT_OR_NULL: Shape = {"type": ["string", "null"]}
WHOLE_OR_NULL: Shape = {"type": ["integer", "null"]}
NUMBER_OR_NULL: Shape = {"type": ["number", "null"]}

INVOCATION = {
    **thing(
        "status uuid",
        id=WHOLE,
        uuid=TEXT,
        status={"enum": [status.value for status in JobStatus]},
        progress={"type": ["number", "null"], "minimum": 0, "maximum": 1},
        step=WHOLE_OR_NULL,
        total=WHOLE_OR_NULL,
        duration=SECONDS,
        rate={"type": ["number", "null"], "description": "steps a second"},
        images={"type": ["array", "null"], "items": TEXT},
        message={"type": "string", "description": "what failed"},
        metadata=thing(
            task=TEXT,
            remaining={**NUMBER_OR_NULL, "description": "seconds"},
            tensorrt_build=thing("*", model=TEXT, network=TEXT),
        ),
    ),
    "description": "Queued it has two keys, failed three, and nine else. Builds of engines have `metadata`, too.",
}
STATUS = thing(
    "*",
    status={"enum": ["idle", "ready", "busy"]},
    system=thing(
        "*",
        downloads=thing("*", active=COUNT, queued=COUNT, total=COUNT),
        invocations=thing("*", active={"type": "boolean"}, queued=COUNT, total=COUNT),
    ),
    gpu=either(
        thing(
            "*",
            driver=TEXT,
            name=TEXT,
            load=NUMBER_OR_NULL,
            temp=NUMBER_OR_NULL,
            memory=thing("*", free=COUNT, total=COUNT, used=COUNT, util=NUMBER),
        ),
        NULL,
    ),
    compilers=COMPILERS,
    version=TEXT,
    uptime=SECONDS,
)
TOKEN = thing(
    "*",
    type={"const": "AuthenticationToken"},
    attributes=thing(
        "*",
        access_token=TEXT,
        created=TIME,
        expires=TIME,
        id=WHOLE,
        token_type={"const": "Bearer"},
        user_id=WHOLE,
    ),
)
DOWNLOAD = thing(
    "id status source destination filename elapsed downloaded total",
    id=WHOLE,
    status={"enum": [QUEUED, RUNNING, COMPLETE, ERROR, CANCELED]},
    source=TEXT,
    destination=TEXT,
    filename=TEXT,
    elapsed={**NUMBER_OR_NULL, "description": "seconds"},
    downloaded={**WHOLE_OR_NULL, "description": "bytes"},
    total={**WHOLE_OR_NULL, "description": "bytes; null while it is not known"},
    error=TEXT,
)
FOLDER = thing("items files bytes path", items=COUNT, files=COUNT, bytes=COUNT, path=TEXT, also=listed(TEXT))
ENTRY = thing("*", type={"enum": ["file", "directory"]}, name=TEXT, bytes=COUNT)
LOG_LINE = thing("*", timestamp=TIME, logger=TEXT, level=TEXT, file=TEXT, line=TEXT, content=TEXT)
ENGINE = thing(
    "supported xl ready",
    supported={"type": "boolean"},
    xl={"type": "boolean"},
    ready={"type": "boolean"},
    unet_ready={"type": "boolean"},
    controlled_unet_ready={"type": "boolean"},
    vae_ready={"type": "boolean"},
    clip_ready={"type": "boolean"},
    reason=TEXT,
)
ADAPTER = thing("*", model=TEXT, weight=NUMBER_OR_NULL)
STORED_ENGINE = thing(
    "*",
    key={"type": "string", "description": "SHA-256 of all that decides what the engine computes"},
    type={"type": "string", "description": "`unet`, `controlledunet`, `clip`, `vae_decoder`, ..."},
    model=TEXT,
    lora=listed(ADAPTER),
    lycoris=listed(ADAPTER),
    inversion=listed(TEXT),
    used={"type": "boolean"},
    used_by={**listed(TEXT), "description": "the stored models that draw with it"},
    size={**COUNT, "description": "pixels a side"},
    bytes=COUNT,
    compiler=TEXT,
    target={"type": "string", "description": "what it was built for: `sm89`, `cpu`"},
    state={"enum": ["verified", "unverified", "quarantined", "damaged"]},
)
MODEL_STATUS = thing(
    "*",
    model=TEXT,
    refiner=TEXT_OR_NULL,
    inpainter=TEXT_OR_NULL,
    tensorrt=thing("*", base=ref("Engine"), inpainter=ref("Engine"), refiner=either(ref("Engine"), NULL)),
)
HISTORY = thing(
    "*",
    duration={**NUMBER_OR_NULL, "description": "seconds"},
    error=TEXT_OR_NULL,
    id={"type": "string", "description": "the invocation's uuid"},
    outputs=COUNT,
    plan=either(ref("Plan"), ANY_OBJECT),
    started=TIME,
    user_id=WHOLE,
)
PROBLEM = thing(
    "type title status detail",
    type={"type": "string", "format": "uri-reference", "description": "leads to a page about it"},
    title=TEXT,
    status=WHOLE,
    detail=TEXT,
    instance={"type": "string", "format": "uri-reference"},
    nearest={"description": "what would do"},
    errors=listed(
        thing(
            "detail",
            detail=TEXT,
            pointer={"type": "string", "description": "RFC 6901, as a fragment, into the body"},
            parameter={"type": "string", "description": "of the query string"},
            nearest={"description": "what would do"},
        )
    ),
)
META = {
    **thing(
        "params",
        params={"type": "object", "additionalProperties": listed(TEXT)},
        count={**COUNT, "description": "how many there are before limit and offset"},
        data=either(ref("User")),
    ),
    "description": "`data` is said here too where the contract's examples have it.",
}

# name -> attributes of an object of the contract, by the names that it always has
ATTRIBUTES = {
    "DiffusionModel": thing(
        "*", model=TEXT, name=TEXT, negative_prompt=TEXT, prompt=TEXT, size=WHOLE_OR_NULL
    ),
    "User": thing(
        "*",
        first_name=TEXT_OR_NULL,
        id=WHOLE,
        last_login={**TIME, "type": ["string", "null"]},
        last_name=TEXT_OR_NULL,
        username=TEXT,
    ),
}
ADAPTER = thing("diffusion_model_name model", diffusion_model_name=TEXT, model=TEXT, weight=NUMBER)
SIZED = thing("*", diffusion_model_name=TEXT, model=TEXT, size=WHOLE_OR_NULL)
# name -> attributes of what can be included
RELATED = {
    "DiffusionModelRefiner": SIZED,
    "DiffusionModelInpainter": SIZED,
    "DiffusionModelScheduler": thing("*", context=TEXT, diffusion_model_name=TEXT, name=TEXT),
    "DiffusionModelLora": ADAPTER,
    "DiffusionModelLycoris": ADAPTER,
    "DiffusionModelInversion": thing("*", diffusion_model_name=TEXT, model=TEXT),
    "DiffusionModelVAE": thing("*", diffusion_model_name=TEXT, name=TEXT),
    "DiffusionModelDefaultConfiguration": thing(
        "*", configuration_key=TEXT, configuration_value={}, diffusion_model_name=TEXT
    ),
    "UserPermissionGroup": thing("*", group_id=WHOLE, user_id=WHOLE),
    "UserPermission": ANY_OBJECT,
    "PermissionGroup": thing("*", id=WHOLE, label=TEXT),
}


def answer_schemas() -> dict[str, Shape]:
    """Give the named schemas of answers."""
    made = {
        "Meta": META,
        "Errors": thing("errors", errors=listed(thing("*", status=TEXT, title=TEXT, detail=TEXT))),
        "Problem": PROBLEM,
        "Invocation": INVOCATION,
        "HistoryEntry": thing("*", type={"const": "DiffusionInvocation"}, attributes=HISTORY),
        "Status": STATUS,
        "Token": TOKEN,
        "Download": DOWNLOAD,
        "Folder": FOLDER,
        "FolderEntry": ENTRY,
        "LogLine": LOG_LINE,
        "Engine": ENGINE,
        "ModelStatus": MODEL_STATUS,
        **plugin_schemas(),
    }
    for root in (MODEL, USER):
        _add_object(made, root)
    return made | plan_schemas()


def _add_object(made: dict[str, Shape], relation: Relation) -> None:
    """Add the schema of a class of objects and of what can be included with it; relations may lead in circles."""
    name = relation.entity
    if name in made:
        return
    attributes = ATTRIBUTES.get(name) or RELATED[name]
    included = {word: either(listed(ref(one.entity)), NULL) for word, one in relation.relations.items()}
    made[name] = thing("type attributes", type={"const": name}, attributes=attributes)
    if included:
        made[name]["properties"]["include"] = {
            "type": "object",
            "properties": included,
            "description": "what `include` asked for",
        }
    for one in relation.relations.values():
        _add_object(made, one)


NAMES = listed(TEXT)
USERS, MODELS = listed(ref("User")), listed(ref("DiffusionModel"))
HISTORIES = listed(ref("HistoryEntry"))
FOLDERS: Shape = {"type": "object", "additionalProperties": ref("Folder")}
# (method, path) -> schema of `data`; anything unless it is here
DATA: dict[tuple[str, str], Shape] = {
    ("GET", "/api"): ref("Status"),
    ("GET", "/api/plugins"): listed(ref("Plugin")),
    ("GET", "/api/plugins/<name>"): ref("PluginWhole"),
    ("PATCH", "/api/plugins/<name>"): ref("PluginWhole"),
    ("GET", "/healthz"): thing("*", status={"const": "ok"}),
    ("GET", "/readyz"): thing("*", status={"const": "ready"}, queued=COUNT),
    ("POST", "/api/invoke"): ref("Invocation"),
    ("POST", "/api/plan"): ref("Plan"),
    ("GET", "/api/invocation"): listed(ref("Invocation")),
    ("GET", "/api/invocation/<uuid>"): ref("Invocation"),
    ("POST", "/api/invocation/stop"): NULL,
    ("POST", "/api/models/<name>/tensorrt/<network>"): ref("Invocation"),
    ("DELETE", "/api/invocation/<uuid>"): NULL,
    ("DELETE", "/api/invocation-history/<uuid>"): NULL,
    ("GET", "/api/invocation-history"): HISTORIES,
    ("GET", "/api/invocation-history/<uuid>"): HISTORIES,
    ("GET", "/api/models"): MODELS,
    ("GET", "/api/models/<name>"): MODELS,
    ("POST", "/api/models"): ref("DiffusionModel"),
    ("PATCH", "/api/models/<name>"): ref("DiffusionModel"),
    ("DELETE", "/api/models/<name>"): NULL,
    ("GET", "/api/models/<name>/status"): ref("ModelStatus"),
    ("GET", "/api/users"): USERS,
    ("GET", "/api/users/<username>"): USERS,
    ("POST", "/api/users"): ref("User"),
    ("PATCH", "/api/users/<username>"): ref("User"),
    ("POST", "/api/users/<username>"): ref("User"),
    ("DELETE", "/api/users/<username>"): NULL,
    ("GET", "/self"): ref("User"),
    ("POST", "/api/login"): ref("Token"),
    ("POST", "/login"): ref("Token"),
    ("GET", "/api/settings"): ref("Settings"),
    ("POST", "/api/settings"): ref("Settings"),
    ("GET", "/api/checkpoints"): NAMES,
    ("GET", "/api/lora"): NAMES,
    ("GET", "/api/lycoris"): NAMES,
    ("GET", "/api/inversion"): NAMES,
    ("GET", "/api/inversions"): NAMES,
    ("GET", "/api/model-options"): listed(
        thing("*", type={"enum": ["checkpoint", "diffusers", "model"]}, name=TEXT)
    ),
    ("GET", "/api/download"): listed(ref("Download")),
    ("POST", "/api/download"): ref("Download"),
    ("POST", "/api/download/cancel"): NULL,
    ("GET", "/api/civitai/<kind>"): {
        **listed({}),
        "description": "Items as CivitAI gives them, their descriptions without HTML.",
    },
    ("GET", "/api/installation"): FOLDERS,
    ("POST", "/api/installation"): FOLDERS,
    ("GET", "/api/installation/<directory>"): listed(ref("FolderEntry")),
    ("POST", "/api/installation/<directory>"): ref("FolderEntry"),
    ("POST", "/api/installation/<directory>/move"): NULL,
    ("DELETE", "/api/installation/<directory>/<file>"): NULL,
    ("GET", "/api/tensorrt"): listed(STORED_ENGINE),
    ("DELETE", "/api/tensorrt/<model>/<type>/<key>"): NULL,
    ("GET", "/api/logs"): listed(ref("LogLine")),
    ("GET", "/api/announcements"): {**listed({}), "maxItems": 0},
    ("POST", "/api/announcements/snooze"): NULL,
}
# path -> media type of answers that have no envelope
PLAIN = {
    "/api/openapi.json": "application/json",
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
# path -> what else it is answered as, where `Accept` asks for that
ALSO = {"/metrics": ("application/openmetrics-text",)}


def answer_of(method: str, path: str) -> dict[str, Shape]:
    """Give the schema of an answer by media type."""
    if path in PLAIN:
        kinds = PLAIN[path], *ALSO.get(path, ())
        return {kind: ANY_OBJECT if kind == "application/json" else TEXT for kind in kinds}
    return {MEDIA_TYPE: thing("*", meta=ref("Meta"), data=DATA.get((method, path), {}))}
