"""Failed tests of a pytest report: their names, and what a second try made of them.

    rerun.py failed REPORT.xml           one test per line, as pytest takes them
    rerun.py merge REPORT.xml AGAIN.xml  counts those that passed now as passed in REPORT.xml and prints them
"""
import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def suite(path):
    root = ElementTree.parse(path).getroot()
    return root if root.tag == "testsuite" else root[0]


def bad(case):
    """What makes a case a failed one."""
    return [child for child in case if child.tag in ("failure", "error")]


def node(case):
    """The test as pytest names it: folder/test_x.py::test_y. Class names in reports have dots for slashes."""
    parts = case.get("classname").split(".")
    for end in range(len(parts), 0, -1):
        file = pathlib.Path(*parts[:end]).with_suffix(".py")
        if (pathlib.Path(__file__).parent / file).is_file():
            return "::".join([file.as_posix(), *parts[end:], case.get("name")])
    return case.get("classname") + "::" + case.get("name")


def main(verb, report, again=None):
    tree = ElementTree.parse(report)
    first = tree.getroot() if tree.getroot().tag == "testsuite" else tree.getroot()[0]
    if verb == "failed":
        names = [node(case) for case in first.iter("testcase") if bad(case)]
        print(*dict.fromkeys(names), sep="\n", end="\n" if names else "")
        return
    passed = set()
    if again and pathlib.Path(again).exists():
        cases = list(suite(again).iter("testcase"))
        failed = {node(case) for case in cases if bad(case)}
        passed = {node(case) for case in cases} - failed
    for case in first.iter("testcase"):
        if node(case) in passed:
            for child in bad(case):
                case.remove(child)
                kind = "failures" if child.tag == "failure" else "errors"
                first.set(kind, str(int(first.get(kind)) - 1))
    tree.write(report)
    print(*sorted(passed), sep="\n", end="\n" if passed else "")


if __name__ == "__main__":
    main(*sys.argv[1:])
