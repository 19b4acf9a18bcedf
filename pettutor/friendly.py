"""Errors of the command line: one clear line each, and an exit code."""

import functools
import traceback

import typer


def one_line(error):
    """What went wrong, in a line."""
    if isinstance(error, MemoryError):
        return f"not enough memory ({error}); try --size slab" if str(error) else "not enough memory; try --size slab"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | OSError):
        return text
    if isinstance(error, ImportError):
        return f"{text} (pettutor doctor says what is missing and how to install it)"
    return f"{type(error).__name__}: {text} (--debug shows where)"


def friendly(command):
    """Turn every error of a command into one line on stderr and an exit code: 1, or 130 for Ctrl-C."""

    @functools.wraps(command)
    def guarded(*args, debug=False, **kwargs):
        try:
            return command(*args, debug=debug, **kwargs)
        except KeyboardInterrupt:
            message, code = "stopped by the keyboard", 130
        except typer.Exit:
            raise
        except Exception as error:
            if debug:
                traceback.print_exc()
            message, code = one_line(error), 1
        typer.echo(f"\npettutor: {message}", err=True)
        raise typer.Exit(code)

    return guarded
