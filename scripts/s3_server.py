"""Serves S3 (moto) on 127.0.0.1:PORT for tests, one request at a time.

LanceDB commits with "put if there is none". S3 lets one of two such writes win; moto looks first and writes later, and in threads of
its own lets both win now and then, which loses the rows of one.
"""

import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

backend = DomainDispatcherApplication(create_backend_app)
turn = threading.Lock()


def one_at_a_time(environ, start_response):
    with turn:
        return backend(environ, start_response)


run_simple("127.0.0.1", int(sys.argv[1]), one_at_a_time, threaded=True)
