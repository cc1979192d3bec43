"""The reference page of the JSON API: prose, and tables of routes and parameters from the code."""  # noqa: INP001 - beside the pages, not a package

from __future__ import annotations

from stretto.api.routes import ROUTES
from value_words import table

__all__ = ["http_parts"]

INTRO = """
`stretto serve` answers at `http://127.0.0.1:45555` unless `--host` and `--port` say otherwise. Without
authentication, which is how it starts, every caller is the user `noauth` and may do everything; so it listens
to this machine alone unless it is told that it may be reached.

With authentication (`--auth`, or the setting `auth`) a call needs a token: `POST /api/login` gives one for 730 hours,
and it is sent as `Authorization: Bearer <access_token>`, or as the cookie `enfugue_token`. Without one the answer is
401. Users see and end their own invocations; administrators do everything, and see and end anybody's by `uuid`.
[Let others in](../howto/let-others-in.md) shows how.

Bodies are JSON objects, whatever their Content-Type says. Answers are `application/vnd.api+json`:
"""
ENVELOPES = """
```json
{"meta": {"params": {}}, "data": {"status": "queued", "uuid": "0123456789abcdef0123456789abcdef"}}
```

```json
{"errors": [{"status": "400", "title": "BadRequestError", "detail": "width: ..."}]}
```

A fault in a body is answered with 400 before anything is queued, one entry a fault, each beginning with the
field. Titles and statuses are on [their page](errors.md); `Accept: application/problem+json` gets
[problem details](problems.md) instead. [Every call](api.md) stands on a page with its parameters, answers and errors;
a server shows its own at `/api/docs`, from the OpenAPI document at `/api/openapi.json`, of which
[the one of the bundled plugins](openapi.json) is kept beside this page. [Write a client](../howto/clients.md) shows two. Plugins may
[add calls](../howto/add-routes-and-commands.md) below `/api/`, for which all of this holds. `OPTIONS` is answered everywhere, and every answer has CORS headers. A trailing slash makes no difference.
"""
LIFE = """
## An invocation

`POST /api/invoke` answers with `status` and `uuid` once the job is in the database. `GET /api/invocation/<uuid>`
says how far it is:

- `queued`: it waits; nothing else is said.
- `processing`: `step` of `total`, `progress` from 0 to 1, `rate` in iterations a second, `duration` in seconds,
  `metadata` with the `task` in words and the `remaining` seconds, and in `images` the intermediates so far.
- `completed`: `images`, each to be fetched from `/api/invocation/` and the entry, such as `images/<uuid>_0.png`.
- `error`: `message` says why.

`GET /api/invocation/<uuid>/events` says the same as it happens, as [server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html):
`queued`, `started`, `progress` (at most ten a second), and `completed` or `error`, which is the last; then the stream
ends, and a browser's `EventSource` should be closed. `data` is a JSON object with `step`, `total`, `rate`, `remaining`
seconds, `task`, `images` and `message`, and with `?previews=true` the intermediates. Events are numbered without gaps
and kept in the database with the last 1000 invocations: whoever comes again with `Last-Event-ID` gets what came after
it, from the next server too. The setting `max_event_streams` bounds the streams; one more is answered with 503.

```sh
curl -N http://127.0.0.1:45555/api/invocation/<uuid>/events
```

With `"synchronous": true` the answer to `POST /api/invoke` comes once it is `completed` or `error`, or after the
setting `max_wait_s` with the state as it is. Half of the server's threads may wait so; one call more is answered at
once. `POST /api/plan` takes the same body and gives the whole plan, or every fault, and nothing is queued.

A server that is killed takes the job up again when it starts: what was queued is run, and what was running is run
once more. A PNG holds the whole plan in its text chunk `stretto:plan`.
"""
PARAMETERS = """
## Parameters of `POST /api/invoke`

[Every parameter](parameters.md), with its values, its default and pictures; `stretto invoke` takes the same with
`--set`. All are optional; null is the same as leaving one out. Keys that are not known are logged and ignored, and
words of other releases are read as ours, which the plan's notes say.

An image is a data URI (`data:image/png;base64,...`) or a path in the data directory's `images` or `inputs` folder.
"""
LISTS = """
## Lists

`GET /api/invocation-history` takes `limit` (100 unless set; 0 for all), `offset`, `sort=column:desc`,
`ilike=column:text` (part of the text, any of several) and `filter=column:value` (equal, all of several). `count` in
`meta` is how many there are before limit and offset.

```sh server
curl -sf 'http://127.0.0.1:45555/api/invocation-history?sort=started:desc&limit=5'
curl -sf http://127.0.0.1:45555/api/settings -d '{"idle_timeout_s": 60}'
```
"""

LEVELS = {"anybody": "anybody", "user": "users", "admin": "administrators"}
CONVENTIONS = """
## Conventions

- Every answer has an `X-Request-Id`: the one that was sent, if it is up to 128 visible ASCII characters, or a new one.
  The log names it beside what failed.
- A body is read as JSON whatever its `Content-Type`. Where it may be left out (`POST /api/invocation/stop`, the build of an
  engine), what is not meant as JSON is taken as none: it is meant where it begins with `{` or `[`, or where the
  `Content-Type` says so. Everywhere else what is no JSON object is 400. Here we leave the contract, where it is `{}`:
  a typing error would draw a picture that nobody described, or change nothing and say that all is well. `POST /api/login`
  takes forms too, and answers 401 to all else.
- Pictures and thumbnails have an `ETag`; `If-None-Match` with it is answered with 304, and `Range` with `If-Range` works.
- `POST /api/invoke` with an `Idempotency-Key` (up to 255 visible ASCII characters, yours alone) may be sent again: the
  same body gets the first answer for seven days, after a restart too, and another body 422. A call that was refused
  does not use its key up.
- An invocation that was deleted is 404, and 410 for who sends `Accept: application/problem+json`.
- `GET /metrics` is what [Prometheus scrapes](metrics.md).
- `GET /healthz` is 200 while the server answers; `GET /readyz` while it also takes and runs invocations, or else 503.
- Answers of 429 and 503 have `Retry-After`, in seconds.
"""


def http_parts() -> list[str]:
    """Give the page's parts, in order."""
    rows = [
        (
            route.method,
            f"`{route.path}`",
            LEVELS[route.needs.level],
            (route.handle.__doc__ or "").split("\n")[0],
        )
        for route in ROUTES
    ]
    return [
        INTRO,
        ENVELOPES,
        LIFE,
        "## Calls",
        table(("method", "path", "who", "what it does"), rows),
        PARAMETERS,
        CONVENTIONS,
        LISTS,
    ]
