# SPDX-License-Identifier: MIT
"""A workload that changes its pattern (bench/proof/shift.py), under the learner of the variant `learning`: when it
notices, and how long it learns again. The curve is in the report's page. A record's figures are {"rows": what
shift.py prints}.
"""

import json
from pathlib import Path

from common.errors import Failure
from common.launch import STDOUT, launch
from common.tree import variant_library
from common.workloads import Workload

KIND = "study-canary"
SCRIPT = Path("bench/proof/shift.py")
SECONDS, STEP = 18.0, 0.05
# The learner's own times are those of a service; here a phase is over in seconds. What strategies find by chance would
# hide what sizes do.
SETTINGS = {"HAKMEM_LEARN": "1", "HAKMEM_LEARN_WINDOW_MS": "20", "HAKMEM_LEARN_MIN_SAMPLES": "16",
            "HAKMEM_FREEZE_SEC": "1", "HAKMEM_CANARY_FRAC": "20", "HAKMEM_DISABLE_ELO": "1",
            "HAKMEM_DISABLE_UCB": "1"}
LEARN, FROZEN = 1, 2        # of `state`, core/mem/learner.def
STATES = ("off", "learn", "frozen", "canary")


def run(scale: float) -> dict:
    """One run of SECONDS, scaled."""
    seconds = max(3.0, SECONDS * scale)
    row = Workload(name="shift", role="holdout", sentence="", env={"PYTHONMALLOC": "malloc"}, command=(
        "/usr/bin/python3", "-S", f"{{root}}/{SCRIPT}", f"{seconds:g}", f"{STEP:g}"))
    kept = {}
    launch(row, variant_library("learning"), extra_env=SETTINGS, timeout=seconds * 3 + 60,
           keep=lambda scratch: kept.update(text=(scratch / STDOUT).read_text()))
    rows = [json.loads(line) for line in kept["text"].splitlines()]
    if not rows:
        raise Failure(f"{SCRIPT} printed nothing")
    return {"seconds": seconds, "rows": rows}


def phases(rows) -> list:
    """Of each phase (begins, learned anew after, froze again after): seconds since it began; None if it did not."""
    found = []
    for number in sorted({row["phase"] for row in rows}):
        inside = [row for row in rows if row["phase"] == number]
        begins, before = inside[0]["seconds"], inside[0]["drifts"]
        noticed = next((row["seconds"] for row in inside if row["drifts"] > before or row["state"] == LEARN), None)
        froze = next((row["seconds"] for row in inside if noticed is not None and row["seconds"] > noticed
                      and row["state"] == FROZEN), None)
        found.append((begins, None if noticed is None else noticed - begins, None if froze is None else froze - begins))
    return found


def cells(figures: dict) -> list:
    """Head and a row a phase."""
    def shown(value):
        return "not" if value is None else f"{value:.1f} s"
    return [("phase", "begins", "learns", "is frozen again"),
            *((str(number), f"{begins:.1f} s", shown(learned), shown(froze))
              for number, (begins, learned, froze) in enumerate(phases(figures["rows"]), 1))]
