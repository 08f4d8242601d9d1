"""data: openpyxl."""

import io

import openpyxl


def use():
    book = openpyxl.Workbook()
    book.active.append([1, "x"])
    file = io.BytesIO()
    book.save(file)
    assert [cell.value for cell in next(openpyxl.load_workbook(file).active.rows)] == [1, "x"]
