"""Serves the repositories in a folder with dulwich: serve.py FOLDER PORT."""

import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from dulwich.errors import HookError, NotGitRepository
from dulwich.repo import Repo
from dulwich.server import Backend
from dulwich.web import make_wsgi_chain

ROOT = Path(sys.argv[1])


class Refusing:
    """Turns pushes down while a file `reject` is in the repository, and says what it holds."""

    def __init__(self, repository):
        self.reject = Path(repository) / "reject"

    def execute(self, *_):
        if self.reject.exists():
            raise HookError(self.reject.read_text().strip())
        return (b"", b"")


class Folder(Backend):
    def open_repository(self, path):
        path = path.decode() if isinstance(path, bytes) else path
        folder = ROOT / path.lstrip("/")
        if not folder.is_dir():
            raise NotGitRepository(path)
        repository = Repo(str(folder))
        repository.hooks["update"] = Refusing(folder)
        return repository


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


make_server(
    "127.0.0.1",
    int(sys.argv[2]),
    make_wsgi_chain(Folder()),
    server_class=Server,
    handler_class=Quiet,
).serve_forever()
