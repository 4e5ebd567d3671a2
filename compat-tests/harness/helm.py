"""Renders our Helm chart: by helm where it is installed, else by what of its template language the chart uses."""
import copy
import json
import pathlib
import re
import shutil
import subprocess

import yaml

TAG = re.compile(r"(\{\{-?\s*.*?\s*-?\}\})", re.S)
WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')


class Required(Exception):
    """A value that must be set is not."""


def merged(base, over):
    both = copy.deepcopy(base)
    for key, value in over.items():
        both[key] = merged(both[key], value) if isinstance(value, dict) and isinstance(both.get(key), dict) else value
    return both


def render(chart, values=None, name="switch"):
    """The documents of the chart with these values over its own."""
    chart = pathlib.Path(chart)
    if shutil.which("helm"):
        run = subprocess.run(["helm", "template", name, str(chart), "-f", "-"], input=yaml.safe_dump(values or {}), capture_output=True, text=True)
        if run.returncode:
            raise Required(run.stderr)
        return [document for document in yaml.safe_load_all(run.stdout) if document]
    scope = {"Values": merged(yaml.safe_load((chart / "values.yaml").read_text()), values or {}), "Release": {"Name": name},
             "Chart": {"AppVersion": yaml.safe_load((chart / "Chart.yaml").read_text())["appVersion"]}}
    documents = []
    for file in sorted((chart / "templates").glob("*.yaml")):
        documents += [document for document in yaml.safe_load_all(Template(file.read_text()).text(scope)) if document]
    return documents


class Template:
    """`if`, `else`, `range`, paths, and the functions below; anything else is an error."""

    def __init__(self, text):
        parts = []
        for part in TAG.split(text):
            if part.startswith("{{"):
                if part.startswith("{{-") and parts and isinstance(parts[-1], str):
                    parts[-1] = parts[-1].rstrip()
                parts.append((part.strip("{}").strip("-").strip(), part.endswith("-}}")))
            else:
                parts.append(part.lstrip() if parts and isinstance(parts[-1], tuple) and parts[-1][1] else part)
        self.parts, self.at = parts, 0
        self.nodes = self._block()
        assert self.at == len(parts), "an end too many"

    def _block(self):
        nodes = []
        while self.at < len(self.parts):
            part = self.parts[self.at]
            if isinstance(part, str):
                nodes.append(part)
            else:
                verb = part[0].split()[0]
                if verb in ("end", "else"):
                    return nodes
                self.at += 1
                if verb not in ("if", "range"):
                    nodes.append(("value", part[0]))
                    continue
                yes, no = self._block(), []
                if self.parts[self.at][0] == "else":
                    self.at += 1
                    no = self._block()
                assert self.parts[self.at][0] == "end", part
                nodes.append((verb, part[0].split(None, 1)[1], yes, no))
            self.at += 1
        return nodes

    def text(self, scope):
        return self._text(self.nodes, scope, scope)

    def _text(self, nodes, root, dot):
        out = ""
        for node in nodes:
            if isinstance(node, str):
                out += node
            elif node[0] == "value":
                value = evaluate(node[1], root, dot)
                out += "" if value is None else str(value)
            elif node[0] == "if":
                out += self._text(node[2] if evaluate(node[1], root, dot) else node[3], root, dot)
            else:
                for item in evaluate(node[1], root, dot) or []:
                    out += self._text(node[2], root, item)
        return out


def evaluate(expression, root, dot):
    value, first = None, True
    for stage in expression.split("|"):
        words = WORD.findall(stage.strip())
        value = call(words, root, dot, [] if first else [value])
        first = False
    return value


def call(words, root, dot, piped):
    functions = {"quote": lambda v: json.dumps("" if v is None else str(v)), "default": lambda other, v: v or other, "not": lambda v: not v,
                 "add": lambda a, b: int(a) + int(b), "toYaml": lambda v: yaml.safe_dump(v, default_flow_style=False).rstrip(),
                 "indent": lambda n, v: "\n".join(" " * int(n) + line for line in str(v).split("\n")), "required": required}
    if words[0] in functions:
        return functions[words[0]](*[atom(word, root, dot) for word in words[1:]], *piped)
    assert len(words) == 1 and not piped, f"not known here: {words}"
    return atom(words[0], root, dot)


def required(message, value):
    if not value:
        raise Required(message)
    return value


def atom(word, root, dot):
    if word.startswith('"'):
        return json.loads(word)
    if word.isdigit():
        return int(word)
    start = root if word.startswith("$") else dot
    assert word[:1] in "$.", f"not known here: {word}"
    for key in word.lstrip("$").strip(".").split("."):
        start = start.get(key) if key else start
    return start
