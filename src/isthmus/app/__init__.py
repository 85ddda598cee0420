"""The composition root: it alone knows every room, and nothing imports it.

``main`` is the command ``isthmus``. ``home`` runs API, controllers and our own routes in one
process; ``sandbox`` starts the lab beside it; ``demo`` tells the story of the product.
"""


def main() -> None:
    """Run the command line."""
    from isthmus.app.commands import command

    command()(prog_name="isthmus")
