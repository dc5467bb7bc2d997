# SPDX-License-Identifier: MIT
"""No option and no feature without a test that misses it: each has a deliberate bug that takes it away."""

import re

from plan import model, policy
from gate import ablation
from report import options_doc
from tests.mutants import drive
from tests.support import ROOT, ctests

MUTANTS = {row.name: row for row in drive.load_mutants()}
# What takes each away. `make mutants` shows that a test notices.
OF_OPTIONS = {
    "HAKMEM_DISABLE_BIGCACHE": "huge cache cannot be disabled",
    "HAKMEM_SAFE_FREE": "no safe free",
    "HAKMEM_STATS": "counters without an option",
    "HAKMEM_SIZE_HIST": "histogram without an option",
    "HAKMEM_MEM_TRACE": "trace without an option",
    "HAKMEM_TRACE": "no recording",
    "HAKMEM_TRACE_MB": "no end of the recording",
    "HAKMEM_STATS_DUMP": "no page at exit",
    "HAKMEM_SITE_RULES": "sites are always served",
    "HAKMEM_HEAP_PROFILE": "no heap profile",
    "HAKMEM_HEAP_PROFILE_INTERVAL": "one interval",
    "HAKMEM_PROF": "nothing is timed",
    "HAKMEM_PROF_SAMPLE": "calls are timed at one rate",
    "HAKMEM_FRONT_STATS": "the front is not counted",
    "HAKMEM_LEARN": "learner without being asked",
    "HAKMEM_LEARN_WINDOW_MS": "windows of one length",
    "HAKMEM_LEARN_MIN_SAMPLES": "windows without samples",
    "HAKMEM_TARGET_HIT_MID": "no target for mid",
    "HAKMEM_TARGET_HIT_LARGE": "no target for large",
    "HAKMEM_CAP_STEP_MID": "one step for mid",
    "HAKMEM_CAP_STEP_LARGE": "one step for large",
    "HAKMEM_BUDGET_MID": "no budget for mid",
    "HAKMEM_BUDGET_LARGE": "no budget for large",
    "HAKMEM_ACE_ENABLED": "controller always on",
    "HAKMEM_DISABLE_ELO": "strategies always on",
    "HAKMEM_DISABLE_UCB": "thresholds always on",
    "HAKMEM_EVO_POLICY": "frozen from the start does not hold",
    "HAKMEM_EVO_SAMPLE": "refills of one sample",
    "HAKMEM_FREEZE_SEC": "freezing at one time",
    "HAKMEM_CANARY_FRAC": "looks at one rate",
    "HAKMEM_POLICY": "no policy file",
    "HAKMEM_POLICY_OUT": "no policy at exit",
}
OF_POLICY = {
    "purge_delay_ms": "no delay",
    "retain_mb": "no retained amount",
    "bigcache_mb": "huge cache of one size",
    "thp": "huge blocks ignore THP",
}
OF_FEATURES = {
    "purge": "no purge",
    "big_cache": "no huge cache",
    "remote_batch": "blocks go one by one",
    "options": "a mode changes nothing",
    "stats": "no counters",
    "histogram": "no histogram",
    "learner": "no learner",
    "call_sites": "no call sites",
    "trace": "no trace",
    "record": "no recording",
    "sampling": "no call is sampled",
    "link_checks": "links lead anywhere",
    "harden": "canary not compared",
    "tls_bins": "bins in thread-local storage",
    "checks": "no checks",
}


def values_set(variable, mutant) -> set:
    """What the programs that are to notice the mutant give the variable: strings of the code, not of comments."""
    sources = [source for row in ctests() if row.name in mutant.notice for source in row.sources]
    code = "".join((ROOT / source).read_text() for source in sources)
    return set(re.findall(rf'"{variable}=([^"]*)"', re.sub(r"//.*|/\*.*?\*/", "", code)))


def test_every_option_has_a_mutant():
    options = [row.name for row in options_doc.parse(options_doc.TABLE.read_text())]
    assert set(OF_OPTIONS) == set(options)
    assert [name for name in OF_OPTIONS.values() if name not in MUTANTS] == []


def test_every_row_of_the_policy_is_turned_by_the_test_that_misses_it():
    for row in policy.load_rows(ROOT):
        mutant = MUTANTS[OF_POLICY.get(row.name, f"policy without {row.name}")]
        if row.scope == "run":
            assert values_set(f"HAKMEM_{row.name.upper()}", mutant) - {str(row.default)}, row.name
        else:
            assert mutant.notice == ("policy",)     # which turns each: tests/test_policy.py


def test_every_feature_has_a_mutant():
    assert set(OF_FEATURES) == {feature.name for feature in model.load_features(ROOT)}
    assert [name for name in OF_FEATURES.values() if name not in MUTANTS] == []


def test_every_option_is_turned_by_the_test_that_misses_it():
    """Any value but the default: `make mutants` shows that this test fails where the option changes nothing."""
    for row in options_doc.parse(options_doc.TABLE.read_text()):
        assert values_set(row.name, MUTANTS[OF_OPTIONS[row.name]]) - {row.default}, row.name


def test_no_name_is_an_option_and_gone():
    """names.def answers only what options.def does not read."""
    options = [row.name for row in options_doc.parse(options_doc.TABLE.read_text())]
    for name, sentence in options_doc.parse_names(options_doc.NAMES.read_text()):
        assert name not in options and len(sentence) > 20
        assert not (name.endswith("*") and any(option.startswith(name[:-1]) for option in options))


def test_the_founding_names_are_answered():
    """Each name of the founding documents is an option or has a row."""
    rows = [name for name, _sentence in options_doc.parse_names(options_doc.NAMES.read_text())]
    options = [row.name for row in options_doc.parse(options_doc.TABLE.read_text())]
    options += [f"HAKMEM_{row.name.upper()}" for row in policy.load_rows(ROOT)]
    founding = ("CAP_MID CAP_LARGE POOL_TLS_FREE SITE_RULES WRAP_TINY WRAP_L2 WRAP_L25 DISABLE_BATCH TINY_X SS_X FC_X "
                "SLL_X WMAX_MID WMAX_LARGE MID_DYN1 MID_DYN2 FREEZE_SEC CANARY_FRAC EVO_POLICY EVO_SAMPLE LEARN "
                "LEARN_WINDOW_MS TARGET_HIT_MID TARGET_HIT_LARGE CAP_STEP_MID CAP_STEP_LARGE BUDGET_MID BUDGET_LARGE "
                "LEARN_MIN_SAMPLES ACE_ENABLED ACE_SAMPLE DISABLE_ELO PROF PROF_SAMPLE SIZE_HIST FRONT_STATS "
                "MEM_TRACE STATS STATS_DUMP SAFE_FREE THP DISABLE_BIGCACHE").split()
    for name in (f"HAKMEM_{word}" for word in founding):
        assert name in options or any(name == row or row.endswith("*") and name.startswith(row[:-1]) for row in rows)


def test_what_features_need_is_what_the_compiler_says():
    """The sentences of core/base/build.h, and what an ablation turns on and off beside a feature."""
    text = (ROOT / "core" / "base" / "build.h").read_text()
    names = {feature.macro: feature.name for feature in model.load_features(ROOT)}
    said = {names[macro]: needs for macro, needs in re.findall(r'"(HAK_\w+) [^"]*needs ([^"]+)"', text)}
    needs = {name: {word for word in re.findall(r"\w+", words.replace("harden = false", "")) if word in names.values()}
             for name, words in said.items()}
    assert needs == {name: {*words} for name, words in ablation.NEEDS.items()}
    assert {name for name, words in said.items() if "harden = false" in words} == {*ablation.WATCHING}


def test_variants_that_lack_a_feature_are_named_right():
    """The sentences of core/base/options.c name exactly the variants that have what an option, or a row of the policy,
    needs; and nobody needs what has no sentence."""
    text = (ROOT / "core" / "base" / "options.c").read_text()
    variants = model.load_variants(ROOT)
    macros = {feature.macro: feature.name for feature in model.load_features(ROOT)}
    rows = re.findall(r'need_t need_(\w+) = \{HAK_(\w+), "([^"]+)"\};', text)
    wanted = [*options_doc.parse(options_doc.TABLE.read_text()), *policy.load_rows(ROOT)]
    assert {row.needs for row in wanted} - {"ANY"} == {row[0] for row in rows}
    for name, macro, said in rows:
        having = {variant for variant, row in variants.items() if row.features[macros[f"HAK_{macro}"]]}
        words = {word for word in re.findall(r"\w+", said) if word in variants}
        assert name == macro
        assert having == (set(variants) - words if said.startswith("all but") else words)
