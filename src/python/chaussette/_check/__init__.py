"""`chaussette --check`: what becomes of an application is found out, and told, before it is deployed.

`_command` is the command, `_trial` the processes that it starts, `_child` and `_inside` what runs in them and in their
interpreters. Imports nothing by itself: it is imported where memory and import times are measured.
"""
