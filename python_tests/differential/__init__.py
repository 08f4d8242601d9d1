"""What test_differential.py stands on: other servers, generated requests, a table of differences.

Owns no test. A row of the table says exactly what each side does with requests of certain marks; what no row says is a
finding. head_rows, body_rows and view_rows are data; explaining.py applies them, document.py shows them.
"""
