"""Hooks of --pre-hook and --post-hook."""

import os


def pre(arguments):
    print(f"pre-hook: {arguments.application} {arguments.arguments}", flush=True)


def post(arguments):
    print(f"post-hook: {arguments.application}", flush=True)


def failing(arguments):
    raise RuntimeError("the hook failed on purpose")


def waiting(arguments):
    """Stands at the gate that the environment names."""
    with open(os.environ["GATE"]) as gate:
        gate.read()


def names(arguments):
    print(sorted(vars(arguments)), flush=True)
