"""Mercurial's hgweb on the repository HG_REPOSITORY, open to anonymous pushes."""

import os

from mercurial.hgweb import hgweb

app = hgweb(os.fsencode(os.environ["HG_REPOSITORY"]), baseui=None)
