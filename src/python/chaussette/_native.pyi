"""The server, written in Rust. Main interpreter only: it refuses to load in any other."""

def main(argv: list[str]) -> int:
    """Run the command line `argv`, program name first as in `sys.argv`, and return the exit status.

    Blocks with the GIL released until the server has stopped.
    """
