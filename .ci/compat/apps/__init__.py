"""One application a package, each of which uses it: `kind: requirement.` is its first line.

An application has `use`, which raises when the package does not work, or `app`, which answers with `hello`.
"""
