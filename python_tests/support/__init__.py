"""What the tests stand on: a server process, a client that counts every byte, gates, and waiting with a deadline.

Owns no test and does not import chaussette: the command is only ever run. Only `isolation` imports pytest, whose marks
it makes.
"""
