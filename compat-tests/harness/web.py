"""A web service as mod_xml_curl asks it: records each request, answers what the test decides."""
import http.server
import threading
from urllib.parse import parse_qs, urlsplit

NOT_FOUND = '<document type="freeswitch/xml"><section name="result"><result status="not found"/></section></document>'


def document(section, content):
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<document type="freeswitch/xml"><section name="{section}">{content}</section></document>'


class Web:
    """`answers` maps a section to a function of the request's parameters; None means not found."""

    def __init__(self, port):
        web = self
        self.answers, self.requests, self.changed = {}, [], threading.Condition()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                fields = {k: v[0] for k, v in parse_qs(body or urlsplit(self.path).query, keep_blank_values=True).items()}
                with web.changed:
                    web.requests.append({"path": urlsplit(self.path).path, "method": self.command, "agent": self.headers.get("User-Agent"),
                                         "type": self.headers.get("Content-Type"), "fields": fields})
                    web.changed.notify_all()
                answer = web.answers.get(fields.get("section"))
                data = ((answer and answer(fields)) or NOT_FOUND).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
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
