"""Ironic's API and conductor in one process, as `ironic` runs them, with faults before it."""

import sys

# This import comes first: it chooses the threading model of everything after it.
from ironic.command.singleprocess import main  # isort: skip
from ironic.api import app
from isthmus_lab_plugins import front

original = app.VersionSelectorApplication
app.VersionSelectorApplication = lambda: front.Front(original(), "ironic")
sys.argv[0] = "ironic"
sys.exit(main())
