"""dulwich's smart HTTP server: git without git. Serves the repository at GIT_REPOSITORY as /project.git."""

import os

from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain

app = make_wsgi_chain(DictBackend({"/project.git": Repo(os.environ["GIT_REPOSITORY"])}))
