#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""In place of bench_replay: a trace is "NAME EVENTS", and what a policy brings is a formula of its values."""

import json
import os
import sys
import time
import tomllib

name, events = open(sys.argv[1]).read().split()
if name == "foreign":
    print(f"bench_replay: {sys.argv[1]} is no trace of hakmem", file=sys.stderr)
    sys.exit(2)
values = {}
if path := os.environ.get("HAKMEM_POLICY"):
    with open(path, "rb") as stream:
        values = tomllib.load(stream)["values"]
if name == "crash" or name == "touchy" and values.get("thp") == 2:
    os.abort()
if name == "slow":
    time.sleep(0.05)
if name == "deaf" and values:
    print("hakmem: HAKMEM_POLICY: not a policy", file=sys.stderr)
pages = 50000 if 4096 <= values.get("thp_from_kb", 0) <= 65536 else 70000
keep = values.get("retain_mb", 16) > 100
print(json.dumps({"events": int(events), "faults_minor": pages - 2000 * keep, "faults_huge": 0, "faults_major": 0,
                  "peak_resident_bytes": 4096 * 70000 + 4096 * 700 * keep, "resident_byte_operations": 7 ** 12,
                  "library": {"refills": 10, "name": "hakmem"}}))
