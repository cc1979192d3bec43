"""A command that prints what is offered: `stretto offered schedulers`."""

from stretto.host import CommandSpec, hookimpl


def build():
    import click

    @click.command()
    @click.argument("kind")
    @click.pass_obj
    def offered(console, kind):
        """Print the names of KIND, such as `schedulers`."""
        with console.host() as host:
            for name in host.offers(kind):
                click.echo(name)

    return offered


@hookimpl
def register_commands():
    return [CommandSpec(name="offered", title="Print what is offered.", build=build)]
