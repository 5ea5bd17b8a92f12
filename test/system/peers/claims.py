"""What test/POLICY.md claims and what test/mutants holds; scripts/mutants says how they look."""
import dataclasses
import pathlib
import re

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
TABLE = "test/POLICY.md"
MUTANTS = "test/mutants"
SAME, ONLY_5 = "the same", "MQTT 5 only"


@dataclasses.dataclass
class Test:
    """`path`: system/test_x.py::test_y or unit/floor/test_x, below test/. Of its cases those are meant whose parameters hold all
    `words`, and none that has a ! in front."""
    path: str
    words: tuple

    def has_case(self, node):
        """`node`: pytest's name of a case, as test_x.py::test_y[parameters]."""
        name, _, parameters = node.partition("[")
        return "system/" + name == self.path and all(
            (word[1:] not in parameters) if word.startswith("!") else (word in parameters) for word in self.words)


@dataclasses.dataclass
class Mutant:
    name: str
    line: int
    file: str = ""
    old: str = ""
    new: str = ""
    versions: tuple = ("3.1.1", "5.0")  # in which the tests must fail, where they tell them apart
    tests: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Row:
    line: int
    option: str
    keywords: list
    in_311: list  # paths of tests
    in_5: list
    mutants: list  # names


def read_mutants(text=None):
    """name -> Mutant. Fails with the line of what is no record."""
    mutants, current = {}, None
    for number, line in enumerate((text or (REPOSITORY / MUTANTS).read_text(encoding="utf-8")).splitlines(), 1):
        word, _, rest = line.partition(" ")
        place = "%s:%d: " % (MUTANTS, number)
        if not line or line.startswith("#"):
            continue
        if word == "mutant":
            assert re.fullmatch(r"[a-z0-9-]+", rest) and rest not in mutants, place + "a name of its own, of a-z, 0-9 and -"
            current = mutants[rest] = Mutant(rest, number)
            continue
        assert current is not None, place + "a record begins with mutant NAME"
        if word in ("old", "new"):  # several lines make one text
            before = getattr(current, word)
            setattr(current, word, before + "\n" + rest if before else rest)
        elif word == "test":
            current.tests.append(Test(rest.split()[0], tuple(rest.split()[1:])))
        elif word == "versions":
            current.versions = tuple(rest.split())
            assert set(current.versions) <= {"3.1.1", "5.0"}, place + "versions are 3.1.1 and 5.0"
        else:
            assert word == "file", place + "%r is no field" % word
            current.file = rest
    return mutants


def _paths(cell, line, same=None):
    """`system/test_a.py::test_x`, `::test_y` of the same file, `unit/floor/test_z`. "the same" stands for `same`, and ::test_y behind it
    is of its last one's file."""
    found, file = [], None
    for part in (part.strip() for part in cell.split(",")):
        if part == SAME and same is not None:
            found += same
            file = same[-1].split("::")[0] if same else None
        elif part.startswith("::"):
            assert file, "%s:%d: %s of which file?" % (TABLE, line, part)
            found.append(file + part)
        elif part != ONLY_5:
            found.append(part)
            file = part.split("::")[0]
    return found


def read_table(text=None):
    """The rows of all tables with five columns."""
    rows = []
    for number, line in enumerate((text or (REPOSITORY / TABLE).read_text(encoding="utf-8")).splitlines(), 1):
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) != 7 or cells[1] == "option" or set(cells[1]) == {"-"}:
            assert not line.startswith("|") or len(cells) == 7, "%s:%d: not five columns" % (TABLE, number)
            continue
        in_311 = _paths(cells[3], number)
        rows.append(Row(number, cells[1], re.findall(r"`([a-z0-9_]+)`", cells[1]), in_311, _paths(cells[4], number, in_311),
                        [name.strip() for name in cells[5].split(",")]))
    return rows
