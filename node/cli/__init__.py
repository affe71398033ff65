"""The command line. One module per area; `commands.py` lists them, `app.py` finds the one that is asked for."""
