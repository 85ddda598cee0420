"""Other people's ways in: the command line now, console and broker later."""
