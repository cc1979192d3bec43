"""`stretto serve`: the JSON API on a port."""

from __future__ import annotations

import click

from .options import Place, place_options

__all__ = ["serve_command"]


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=45555,
    show_default=True,
    help="The port; 0 takes any free one.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=8,
    show_default=True,
    help="How many requests are answered at once.",
)
@click.option(
    "--allow-remote-without-auth",
    "allow_remote",
    is_flag=True,
    help="Listen on an address that other machines can reach although nobody has to log in (--no-auth): whoever "
    "reaches the port may invoke, see and delete every image, and change the settings. Meant for a "
    "private network, or behind a proxy that checks who comes.",
)
@click.option(
    "--auth/--no-auth",
    default=None,
    help="Ask callers for a token, or for none; kept as the setting `auth`, which is off at first. "
    "`stretto users` makes users; the first one is the administrator enfugue, with the password in "
    "STRETTO_ADMIN_PASSWORD or one that is printed at the first start.",
)
@click.option("--verbose", is_flag=True, help="Log more to stderr, other libraries' messages too.")
@place_options
def serve_command(  # noqa: PLR0913  # one an option
    place: Place, *, host: str, port: int, threads: int, allow_remote: bool, auth: bool | None, verbose: bool
) -> None:
    """Serve the JSON API until Ctrl-C or SIGTERM.

    Unfinished invocations run again when the server starts on the same data.
    """
    import logging

    from ..serve import Terms, serve
    from ..wire import Address

    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("stretto").setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it warns of every burst
    serve(
        Address(host=host, port=port),
        place.folders.root,
        Terms(
            plugins_file=place.plugins_file,
            threads=threads,
            auth=auth,
            allow_remote=allow_remote,
            server=place.server,
            engine_dir=place.folders.engine_dir,
        ),
        tell=click.echo,
    )
