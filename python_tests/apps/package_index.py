"""pypiserver: the packages in the folder PACKAGES, open to anonymous uploads."""

import os

import pypiserver

app = pypiserver.app(
    roots=[os.environ["PACKAGES"]], password_file=".", authenticate=[], disable_fallback=True, overwrite=True
)
