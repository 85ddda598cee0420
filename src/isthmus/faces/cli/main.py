"""All verbs in one command. ``isthmus.app`` adds ``up`` and ``demo``, which start processes."""

import typer

from isthmus.faces.cli import account, catalog, cluster, describe, lab, plan, read, why, write
from isthmus.faces.hooks import Hooks

_HELP = """Declare what you want in any of your clouds, and see what became of it.

Exit codes: 1 our mistake, 2 wrong usage, 3 wrong file or object, 4 not found, 5 forbidden,
6 conflict, 7 no server, 8 timed out, 9 failed in the cloud or check not passed.
"""


def build(hooks: Hooks) -> typer.Typer:
    """Return the command with every verb that needs nothing but a server."""
    app = typer.Typer(
        name="isthmus",
        help=_HELP,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.command("get")(read.get)
    app.command("describe")(describe.describe)
    app.command("apply")(write.apply)
    app.command("delete")(write.delete)
    app.command("plan")(plan.show)
    app.command("why")(why.explain)
    app.command("adopt")(account.adopt)
    app.command("orphans")(account.orphans)
    app.add_typer(catalog.commands(hooks), name="catalog")
    app.add_typer(cluster.app, name="cluster")
    app.add_typer(lab.app, name="lab")
    return app
