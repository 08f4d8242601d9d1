"""What the tests stand on: a server process, a client that counts every byte, gates, and waiting with a deadline.

Owns no test and imports neither pytest nor chaussette: the command is only ever run.
"""
