"""``python -m isthmus`` is the command ``isthmus``."""

from isthmus.app import main

main()
