"""A plugin of pytest for scripts/mutants: writes to CASES_FILE, a line of JSON each, which cases were collected and the version
of MQTT that each speaks (null: its own affair), or how each ended."""
import json
import os


def _note(**fields):
    with open(os.environ["CASES_FILE"], "a", encoding="utf-8") as file:
        file.write(json.dumps(fields) + "\n")


def pytest_collection_finish(session):
    if session.config.option.collectonly:
        for item in session.items:
            version = item.callspec.params.get("version") if hasattr(item, "callspec") else None
            _note(case=item.nodeid, version={"mqttv31": 3, "mqttv311": 4, "mqttv5": 5}.get(version, version))


def pytest_runtest_logreport(report):
    """What a fixture says of a mutant, before or behind the test, proves nothing."""
    if "PYTEST_XDIST_WORKER" not in os.environ and (report.when == "call" or report.outcome != "passed"):
        _note(case=report.nodeid, outcome=report.outcome if report.when == "call" else "error")
