"""How a command ends: whatever it raises becomes one line on stderr, and an exit code.

0 done, 1 a month failed or a table differs, 2 a usage error, 128+n ended by signal n.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence

import typer

from core.errors import TriptychError, UsageError, masked, printable

PROGRAM = "triptych"

COMPLETION = "_TRIPTYCH_COMPLETE"
"""The variable through which a shell's completion asks."""


def run(app: typer.Typer, words: Sequence[str]) -> int:
    """Run the command that `words` name, and return its exit code. Raise nothing."""
    # What follows -- belongs to another program.
    ours, rest = (words[: words.index("--")], words[words.index("--") :]) if "--" in words else (words, [])
    verbose = bool({"-v", "--verbose"} & set(ours))
    words = [*(word for word in ours if word not in ("-v", "--verbose")), *rest]
    try:
        return _invoke(app, words)
    except typer.Exit as done:
        return done.exit_code
    # Of the options about completion.
    except SystemExit as done:
        return int(done.code or 0)
    # `triptych ledger | head`
    except BrokenPipeError:
        # Otherwise the interpreter complains when it flushes.
        sys.stdout = None
        return 1
    except typer.TyperException as error:
        return _complain(_with_help(error), error.exit_code)
    except TriptychError as error:
        _trace(verbose)
        return _complain(str(error), 2 if isinstance(error, UsageError) else 1)
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename:
            return _bug(error, verbose)
        # `triptych ledger > file`
        return _complain(f"the output can't be written: {error.strerror}", 1)
    except Exception as error:
        return _bug(error, verbose)
    except KeyboardInterrupt as error:
        return _complain("interrupted: everything that it started has been ended", getattr(error, "code", 130))


def _invoke(app: typer.Typer, words: list[str]) -> int:
    # Not app(words): that would turn `Interrupted` into exit code 130, whatever the signal, and print nothing.
    command = typer.main.get_command(app)
    if COMPLETION in os.environ:
        # A shell asks what may come next: this answers, and exits.
        command.main(prog_name=PROGRAM)
    with command.make_context(PROGRAM, words or ["--help"]) as context:
        return int(command.invoke(context) or 0)


def _with_help(error: typer.TyperException) -> str:
    """Return the message of a line that could not be understood, and where the help of its command is."""
    message, context = error.format_message(), getattr(error, "ctx", None)
    if context is None:
        return message
    return f"{message}{'' if message.endswith(('.', '?')) else '.'} See `{context.command_path} -h`."


def _bug(error: Exception, verbose: bool) -> int:
    _trace(verbose)
    return _complain(f"{type(error).__name__}: {error} (this is a bug: run again with -v, and report it)", 1)


def _trace(verbose: bool) -> None:
    if verbose:
        print(masked(traceback.format_exc()), file=sys.stderr)


def _complain(message: str, code: int) -> int:
    try:
        print(f"triptych: {printable(masked(' '.join(message.split())))}", file=sys.stderr)
    # The terminal is gone.
    except OSError:
        return code
    return code
