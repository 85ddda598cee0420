"""The command line: everything a person does with Isthmus from a shell.

It is a client of the API like any other: it holds no cloud credential and decides nothing that the
server does not decide again. Only ``catalog generate`` and ``catalog lint`` work without a server.
``isthmus.app`` hands it the verbs that start processes, ``up`` and ``demo``.
"""
