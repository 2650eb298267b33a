"""Serves FOLDER with FTP on loopback, in clear and after AUTH TLS, until it is stopped: ftp.py FOLDER PEM PORT

The server is pyftpdlib. Says `ready` when it listens.
"""

import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import TLS_FTPHandler
from pyftpdlib.servers import FTPServer

folder, pem, port = sys.argv[1], sys.argv[2], int(sys.argv[3])


class Handler(TLS_FTPHandler):
    certfile = pem
    authorizer = DummyAuthorizer()


Handler.authorizer.add_user("user", "secret", folder, perm="elradfmw")
server = FTPServer(("127.0.0.1", port), Handler)
print("ready", flush=True)
server.serve_forever()
