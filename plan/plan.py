# SPDX-License-Identifier: MIT
"""The build graph as edges: a pure function of the tables. No file is written and no program is run here."""

import dataclasses

from plan import library, measure, pipeline, programs, tests
from plan.model import TOOLCHAINS
from plan.ninja import Edge
from plan.project import FORGET, IDLE, STEADY, WITNESS, Config


def config_edges(project, config) -> list:
    """The whole pipeline of one configuration; each stage says in the graph what it is."""
    edges = []
    for stage in pipeline.pipeline(bool(project.repeat)):
        first, *rest = stage.edges(project, config) or [None]
        edges += [dataclasses.replace(first, comment=stage.line), *rest] if first else []
    return edges


def phony_edges(project) -> list:
    """The targets that people name."""
    configs = project.configs
    matrix = tuple(config.tree.library("base") for config in every_config(project))
    shipped = tuple(project.sums(config) for config in configs)
    stages = tuple(stage for stage in project.stages if not project.repeat or stage != "layout")
    checks = tuple(config.tree.artifact(stage) for config in configs for stage in stages)
    groups = {
        "all": (*(config.tree.library("base") for config in configs), "compile_commands.json"),
        "matrix": (*matrix, "compile_commands.json"),
        "bench": (STEADY, WITNESS, FORGET, IDLE, *programs.program_targets(project),
                  *(f"build/inputs/{row.name}" for row in project.inputs)),
        "tests": tuple(map(tests.target, project.tests)),
        "ship": shipped,
        "checks": checks,
        "pgo": (*shipped, *checks),
    }
    if not project.repeat:
        walls = tuple(config.tree.wall for config in configs)
        groups |= {
            "measure": tuple(out for config in configs for out in measure.measures(project, config)),
            "golden": tuple(config.tree.golden(stage) for config in configs for stage in project.stages),
            "gate": tuple(config.tree.gate(stage) for config in configs for stage in project.stages[1:]),
            "wall": walls,
            "report": ("build/report/index.html",),
            "pgo": (*shipped, *checks, *walls, *measure.own_results(project), "compile_commands.json"),
        }
    return [Edge((name,), "phony", inputs) for name, inputs in groups.items()]


PAGE_SOURCES = ("report/report.py", "report/report.html.j2", "report/charts.py", "report/heatmap.py")


def report_edge(project) -> Edge:
    """The report page over all configurations."""
    needs = tuple(need for config in project.configs for need in
                  (*measure.measures(project, config), config.tree.wall, config.tree.select("ship.json"),
                   *map(config.tree.gate, project.stages[1:])))
    return Edge(("build/report/index.html",), "report",
                implicit=(*needs, *measure.own_results(project), *PAGE_SOURCES, "results/seals.jsonl"),
                variables={"trees": " ".join(f"--build {config.tree}" for config in project.configs)})


def every_config(project) -> tuple:
    """Each toolchain with each variant."""
    return tuple(Config(toolchain, name) for toolchain in TOOLCHAINS for name in project.variants)


def plan(project) -> list:
    """All edges: the pipelines of the configured trees, the base stage of the others, and what they share."""
    edges = []
    for config in project.configs:
        edges += config_edges(project, config)
    for config in every_config(project):
        edges += [] if config in project.configs else library.base_edges(project, config)
    edges += library.judged_edges(project)
    edges += programs.program_edges(project) + programs.input_edges(project) + programs.record_edges(project)
    edges += programs.resolve_edges(project)
    edges += tests.test_edges(project)
    if not project.repeat:
        edges.append(report_edge(project))
    edges.append(Edge(("compile_commands.json",), "compdb", implicit=("build.ninja",)))
    return edges + phony_edges(project)
