"""``python -m pettutor``: the command line where its folder is not on the search path, as often on Windows."""

from pettutor.cli import app

app(prog_name="python -m pettutor")
