"""A web service as mod_xml_curl asks it: records each request, answers what the test decides."""
import http.server
import ssl
import threading
from urllib.parse import parse_qs, urlsplit

NOT_FOUND = '<document type="freeswitch/xml"><section name="result"><result status="not found"/></section></document>'


def document(section, content):
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<document type="freeswitch/xml"><section name="{section}">{content}</section></document>'


class Web:
    """`answers` maps a section to a function of the request's parameters. It returns a document, or status, body and
    headers; None means not found. `guard` sees the whole request first and may answer in the same way.
    `tls` names a certificate and its key."""

    def __init__(self, port, tls=None):
        web = self
        self.answers, self.requests, self.changed, self.guard = {}, [], threading.Condition(), None

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                fields = {k: v[0] for k, v in parse_qs(body or urlsplit(self.path).query, keep_blank_values=True).items()}
                request = {"path": urlsplit(self.path).path, "method": self.command, "agent": self.headers.get("User-Agent"),
                           "type": self.headers.get("Content-Type"), "fields": fields, "headers": self.headers, "target": self.path, "body": body}
                with web.changed:
                    web.requests.append(request)
                    web.changed.notify_all()
                answer = web.guard and web.guard(request)
                if answer is None:
                    answer = web.answers.get(fields.get("section"))
                    answer = answer and answer(fields)
                status, data, headers = answer if isinstance(answer, tuple) else (200, answer or NOT_FOUND, {})
                data = data.encode()
                try:
                    self.send_response(status)
                    for name, value in {"Content-Type": "text/xml", "Content-Length": str(len(data)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True        # the client did not wait

            do_GET = do_POST = _answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.server.handle_error = lambda *_: None
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def wait(self, timeout=10, **fields):
        """The first request with these fields."""
        def found():
            return next((r for r in self.requests if all(r["fields"].get(k) == v for k, v in fields.items())), None)
        with self.changed:
            self.changed.wait_for(found, timeout)
            assert found(), f"no request with {fields}; there were {[{k: r['fields'].get(k) for k in ('section', 'key_value', 'action')} for r in self.requests]}"
            return found()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
