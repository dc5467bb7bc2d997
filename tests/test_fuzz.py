# SPDX-License-Identifier: MIT
"""The fuzz targets for a few seconds from their seeds: as many runs as their row says, always the same ones. The hour's
run is `make fuzz`."""

import pytest

from common.errors import Failure
from common.proc import run
from tests.fuzz import drive, seeds
from tests.support import FUZZING, ctests, program_of

# Without these libFuzzer's choices depend on the clock and on where things lie, so that equal runs differ.
REPEATED = ("-entropic=0", "-use_cmp=0")
ROWS = [row for row in ctests() if row.kind == "fuzz"]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_bounded_run(row, tmp_path):
    """No input breaks a promise."""
    if not program_of(row).exists():
        pytest.fail(f"{program_of(row)} is not built: run `make tests`", pytrace=False)
    corpus = seeds.write_seeds(row.name, tmp_path / "corpus")
    try:
        run([program_of(row), *row.args, *REPEATED, f"-artifact_prefix={tmp_path}/", corpus], env=FUZZING,
            timeout=row.timeout)
    except Failure as failure:
        pytest.fail(f"{row.sentence}\n{failure}", pytrace=False)


def test_seeds_use_every_operation():
    """A seed for each thing that a record can ask for."""
    used = {data[at] for data in seeds.seeds_of("fuzz_api_fast").values() for at in range(0, len(data), 6)}
    assert {seeds.OPERATIONS[number] for number in used} == set(seeds.OPERATIONS)


def test_driver_reports_findings(monkeypatch, tmp_path, capsys):
    """A target that fails is a Failure with the input to repeat it; one that does not is one line."""
    monkeypatch.setattr(drive, "BUILD", tmp_path)
    monkeypatch.setattr(drive, "program_of", lambda row: tmp_path / row.name)
    for row in ROWS:
        (tmp_path / row.name).write_text("#!/bin/sh\necho 'Done 7 runs in 1 second(s)' >&2\n")
        (tmp_path / row.name).chmod(0o755)
    assert drive.main(["--seconds", "1"]) == 0
    assert capsys.readouterr().out.count("Done 7 runs") == len(ROWS)
    finding = tmp_path / "fuzz" / ROWS[0].name / "crash-1"
    (tmp_path / ROWS[0].name).write_text(f"#!/bin/sh\ntouch {finding}\necho broken >&2\nexit 77\n")
    with pytest.raises(Failure, match=f"(?s)broken.*again with: .*{ROWS[0].name} {finding}"):
        drive.main(["--seconds", "1", ROWS[0].name])
