"""test/POLICY.md and test/mutants say what is there: options, tests and the text that each mutant changes. Whether the mutants are
seen is asked by `make mutants`."""
import ast
import functools
import re

import pytest

from peers import claims
from peers.claims import REPOSITORY

# Sections of include/conf/options.def without policy, and options of the others that have none.
OTHER_SECTIONS = {"The broker behind", "TLS", "Behind another proxy", "Bridges", "Queues of bridges", "Logging", "The process", "Plugins",
                  "Still to come", "The broker's own"}
OTHER_OPTIONS = {"listener", "port", "bind_address", "bind_interface", "socket_domain", "protocol", "handshake_timeout", "connect_timeout",
                 "certfile", "keyfile", "cafile", "capath", "require_certificate", "crlfile", "disable_client_cert_date_checks",
                 "tls_version", "ciphers", "ciphers_tls1.3", "tls_keyform", "set_tcp_nodelay", "psk_file", "host", "watch_files"}


@functools.lru_cache(maxsize=None)
def functions(file):
    """name -> node, of the tests of a file, and its constants."""
    tree = ast.parse((REPOSITORY / "test" / file).read_text(encoding="utf-8"))
    constants = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                constants[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                pass
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}, constants


def versions_of(path):
    """The versions that a test is parametrised with; None: it is its own affair."""
    file, name = path.split("::")
    nodes, constants = functions(file)
    for mark in nodes[name].decorator_list:
        if isinstance(mark, ast.Call) and mark.args and isinstance(mark.args[0], ast.Constant) and mark.args[0].value == "version":
            values = mark.args[1]
            values = constants[values.id] if isinstance(values, ast.Name) else ast.literal_eval(values)
            return {{"mqttv31": 3, "mqttv311": 4, "mqttv5": 5}.get(value, value) for value in values}
    return None


def is_its_own_affair(path):
    return "::" not in path or versions_of(path) is None


def is_there(path):
    if "::" not in path:
        return (REPOSITORY / "test" / (path + ".c")).is_file()
    file, name = path.split("::")
    return (REPOSITORY / "test" / file).is_file() and name.startswith("test_") and name in functions(file)[0]


def options():
    """Keywords of the policy, and all keywords."""
    text = (REPOSITORY / "include/conf/options.def").read_text(encoding="utf-8")
    text = text[text.index("/* clang-format off */"):]
    section, policy, every, sections = None, set(), set(), set()
    for match in re.finditer(r'^(SECTION|OPTION|ALIAS)\(([^"]*)"([^"]+)"', text, re.M):
        kind, _, word = match.groups()
        if kind == "SECTION":
            section = word
            sections.add(word)
            continue
        every.add(word)
        if section not in OTHER_SECTIONS and word not in OTHER_OPTIONS:
            policy.add(word)
    assert (OTHER_SECTIONS - sections) | (OTHER_OPTIONS - every) == set(), "they are gone"
    return policy, every


@pytest.fixture(scope="module")
def table():
    return claims.read_table()


@pytest.fixture(scope="module")
def mutants():
    return claims.read_mutants()


def test_every_option_is_in_the_table(table):
    policy, every = options()
    named = {word for row in table for word in row.keywords}
    assert len(policy) > 60
    assert policy - named == set(), "no row of test/POLICY.md is about them"
    assert named - every == set(), "test/POLICY.md names options that do not exist"


def test_every_test_exists(table, mutants):
    missing = ["%s:%d: %s" % (claims.TABLE, row.line, path) for row in table for path in row.in_311 + row.in_5 if not is_there(path)]
    missing += ["%s:%d: %s" % (claims.MUTANTS, one.line, test.path) for one in mutants.values() for test in one.tests
                if not is_there(test.path)]
    assert missing == []


def test_every_row_is_proved_in_both_versions(table):
    """A test that is parametrised with the version must be so with the version of its column."""
    wrong = []
    for row in table:
        assert row.in_5, "%s:%d: nothing proves it in 5.0" % (claims.TABLE, row.line)
        for version, paths in ((4, row.in_311), (5, row.in_5)):
            wrong += ["%s:%d: %s in version %d" % (claims.TABLE, row.line, path, version) for path in paths
                      if "::" in path and version not in (versions_of(path) or {version})]
    assert wrong == []


def test_what_is_not_told_to_be_of_mqtt_5_alone_is_proved_in_311(table):
    text = (REPOSITORY / claims.TABLE).read_text(encoding="utf-8").splitlines()
    for row in table:
        assert bool(row.in_311) != (claims.ONLY_5 in text[row.line - 1]), "%s:%d" % (claims.TABLE, row.line)


def test_every_mutant_is_in_the_table(table, mutants):
    named = {name for row in table for name in row.mutants}
    assert named - set(mutants) == set(), "test/mutants does not have them"
    assert set(mutants) - named == set(), "no row of test/POLICY.md has them"


def test_every_test_of_a_row_sees_one_of_its_mutants(table, mutants):
    """Which `make mutants` has seen: a row's test must fail with a mutant of that row, in the versions where it stands."""
    blind = []
    for row in table:
        for version, paths in (("3.1.1", row.in_311), ("5.0", row.in_5)):
            seen = {test.path for name in row.mutants for test in mutants[name].tests
                    if version in mutants[name].versions or is_its_own_affair(test.path)}
            blind += ["%s:%d: %s in %s" % (claims.TABLE, row.line, path, version) for path in paths if path not in seen]
    assert blind == []


def test_every_mutant_can_be_made(mutants):
    """Its text stands exactly once where it is looked for, and something is to fail."""
    wrong = []
    for one in mutants.values():
        path = REPOSITORY / one.file
        count = path.read_text(encoding="utf-8").count(one.old) if one.file and path.is_file() and one.old else 0
        if count != 1 or one.old == one.new or not one.tests or not one.versions:
            wrong.append("%s:%d: %s: its old text stands %d times in %r" % (claims.MUTANTS, one.line, one.name, count, one.file))
    assert wrong == []


@pytest.mark.parametrize("text,words", [("file x\n", "begins with mutant"), ("mutant A\n", "a name of its own"),
                                        ("mutant a\nmutant a\n", "a name"), ("mutant a\nolder x\n", "no field"),
                                        ("mutant a\nversions 5\n", "versions are")])
def test_what_is_no_record(text, words):
    with pytest.raises(AssertionError, match=words):
        claims.read_mutants(text)


@pytest.mark.parametrize("text,words", [("| a | b | c |\n", "five columns"), ("| a | b | ::test_x | the same | m |\n", "of which file")])
def test_what_is_no_row(text, words):
    with pytest.raises(AssertionError, match=words):
        claims.read_table(text)


def test_how_tests_choose_cases():
    chosen = claims.Test("system/test_x.py::test_y", ("max", "!share"))
    assert chosen.has_case("test_x.py::test_y[max_1-4]") and not chosen.has_case("test_x.py::test_y[max_1-share-4]")
    assert not chosen.has_case("test_x.py::test_y[min-4]") and not chosen.has_case("test_x.py::test_yy[max]")
