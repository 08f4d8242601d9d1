"""The command `chaussette`, also `python -m chaussette`.

Owns the way from Python into the server and back out with its exit status. Knows no option: the command line is read
in Rust, which serves by itself or hands the settings back for another backend or a check. Runs in the main interpreter
only.
"""

import signal
import sys


def main() -> int:
    """Serve as `sys.argv` asks, until told to stop; return the exit status."""
    # Python's own SIGINT handler would only note the signal and wait for bytecode that the main thread never runs
    # while it serves. From here on the signals are the server's.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    from chaussette import _native

    outcome = _native.main(sys.argv)
    if isinstance(outcome, int):
        return outcome
    if outcome["check"] is not None:
        from chaussette._check import _command as check

        return check.run(outcome)
    from chaussette.backend import _command

    return _command.run(outcome)


if __name__ == "__main__":
    sys.exit(main())
