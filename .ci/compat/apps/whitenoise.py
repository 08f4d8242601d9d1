"""framework: whitenoise."""

import pathlib
import tempfile

from whitenoise import WhiteNoise

folder = tempfile.TemporaryDirectory()
pathlib.Path(folder.name, "index.html").write_text("hello")
app = WhiteNoise(lambda environ, start_response: [], root=folder.name, index_file=True)
