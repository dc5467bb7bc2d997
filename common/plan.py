"""The build graph as edges: a pure function of the tables. No file is written and no program is run here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from common.model import TOOLCHAINS
from common.ninja import Edge
from common.workloads import RESOLVED

LIBRARY = "libhakmem.so"
EXPORTS = "core/api/hakmem.map"
STAGES = ("base", "pgo", "layout", "bolt")
STEADY, WITNESS, FORGET = (f"build/bench/{name}.so" for name in ("steady", "witness", "forget"))
PROFILE_NAME = {"clang": "merged.profdata", "gcc": "merged.gcda.tar"}
PROFILE_SUFFIX = {"clang": "profdata", "gcc": "gcda.tar"}
AGAIN = "again"
GATED = ("pgo", "layout", "bolt")
# The modules that every count is read with: a change in one of them makes all counts anew.
READERS = ("layout/callgrind.py", "layout/elf.py", "layout/flow.py")
# What dist/profile/ holds of a build tree: with it, `--profile` repeats a build without training or measuring.
GIVEN = ("select/objects.rsp", "select/compile.json", "select/order.txt", "select/layout.json", "select/ship.json",
         "bolt/profile.fdata", "gate/pgo.json", "gate/layout.json", "gate/bolt.json")


@dataclass(frozen=True)
class Project:
    """Everything the plan is made from."""
    variants: Mapping
    sources: object
    workloads: tuple
    inputs: tuple
    programs: tuple         # names of bench/programs/*.c and *.cc with their suffix, without the harness
    tests: tuple
    profile: str = ""       # directory of a given profile (`--profile`), or ""


@dataclass(frozen=True)
class Config:
    """One toolchain and variant: a build tree."""
    toolchain: str
    variant: str

    @property
    def tree(self) -> str:
        """build/<toolchain>-<variant>"""
        return f"build/{self.toolchain}-{self.variant}"

    def library(self, stage) -> str:
        """The library of a stage."""
        return f"{self.tree}/{stage}/{LIBRARY}"

    def objects(self, sources, stage) -> tuple:
        """The objects of a stage that compiles."""
        return tuple(f"{self.tree}/{stage}/{PurePosixPath(name).with_suffix('.o')}"
                     for name in sources.c + sources.cxx)

    def profile(self) -> str:
        """The merged profile."""
        return f"{self.tree}/pgo/{PROFILE_NAME[self.toolchain]}"


def flags_name(config, language) -> str:
    """The ninja variable with a configuration's compile flags."""
    return f"{language}_{config.toolchain}_{config.variant}"


def flag_lines(project) -> str:
    """Variables: the macros of each variant, and the flags of each toolchain, variant and language."""
    lines = []
    for name, variant in project.variants.items():
        lines.append(f"defines_{name} = {' '.join(variant.macros)}")
        for toolchain in TOOLCHAINS:
            config = Config(toolchain, name)
            shared = f"$flags_all $flags_{toolchain} {variant.optimize(toolchain)} $defines_{name}"
            lines.append(f"{flags_name(config, 'c')} = $flags_c {shared}")
            cxx = " ".join(("$flags_cxx", *project.sources.cxx_flags))
            lines.append(f"{flags_name(config, 'cxx')} = {cxx} {shared}")
    return "\n".join(lines)


def compiler(toolchain, language="c") -> str:
    """The ninja variable that names the compiler."""
    return {("clang", "c"): "$clang", ("clang", "cxx"): "$clangxx", ("gcc", "c"): "$gcc",
            ("gcc", "cxx"): "$gxx"}[toolchain, language]


def gcc_names(config, source) -> str:
    """Both compiles of a source must name their profile alike, since static functions' identifiers depend on it."""
    suffix = PurePosixPath(source).suffix
    return f"-dumpbase {config.tree}/gcov/{source} -dumpbase-ext {suffix}"


def seed(config, source) -> str:
    """gcc draws random numbers for its profile stamps and symbols, unless it is told what to start from."""
    return f"-frandom-seed={source} " if config.toolchain == "gcc" else ""


def compile_edges(project, config, stage, extra=None) -> list:
    """One compile a source. `extra(source)` gives (flags, implicit inputs, implicit outputs)."""
    edges = []
    sources = project.sources
    for source, target in zip(sources.c + sources.cxx, config.objects(sources, stage)):
        language = "cxx" if source in sources.cxx else "c"
        more, needs, makes = extra(source) if extra else ("", (), ())
        edges.append(Edge((target,), "compile", (source,), implicit=needs, implicit_outputs=makes, variables={
            "cc": compiler(config.toolchain, language),
            "flags": f"${flags_name(config, language)} {seed(config, source)}{more}".strip()}))
    return edges


def link_variables(project, config, link="$link_so") -> dict:
    """What every link of a configuration has in common."""
    language = "cxx" if project.sources.cxx else "c"
    return {"cc": compiler(config.toolchain, language), "lld": f"$lld_{config.toolchain}", "link": link,
            "optimize": project.variants[config.variant].optimize(config.toolchain),
            "libs": " ".join(project.sources.libs)}


def link_edge(project, config, stage) -> Edge:
    """Objects of the stage -> library."""
    return Edge((config.library(stage),), "link", config.objects(project.sources, stage), implicit=(EXPORTS,),
                variables=link_variables(project, config))


def artifact_edge(config, stage, order="") -> Edge:
    """The checks on a finished library; its stamp."""
    options = f"--order {order}" if order else ""
    return Edge((f"{config.tree}/{stage}/artifact.ok",), "artifact",
                implicit=(config.library(stage), EXPORTS, "layout/artifact.py", *((order,) if order else ())),
                variables={"so": config.library(stage), "options": options})


def base_edges(project, config) -> list:
    """Stage base: plain objects and their link."""
    return [*compile_edges(project, config, "base"), link_edge(project, config, "base")]


def workload_needs(workload) -> tuple:
    """The files a run needs besides the library."""
    return (f"build/workload/{workload.name}.json", *(f"build/bench/{name}" for name in workload.programs()),
            *(f"build/inputs/{name}" for name in workload.inputs),
            *((RESOLVED.format(name=workload.name), *workload.watch) if workload.own else ()),
            *((FORGET,) if workload.server else ()))


def train_edges(project, config) -> list:
    """The instrumented library, a training run each, the weighted merge and its check."""
    toolchain, tree = config.toolchain, config.tree
    library, profile = config.library("train"), config.profile()

    def instrumented(source):
        if toolchain == "clang":
            return "$train_clang", (), ()
        note = f"{tree}/gcov/{PurePosixPath(source).with_suffix('.gcno')}"
        return f"$train_gcc {gcc_names(config, source)}", (), (note,)

    glue = tuple(f"{tree}/train/{name}.o" for name in ("instrument", "slots"))
    common = {"toolchain": toolchain, "variant": config.variant}
    edges = compile_edges(project, config, "train", instrumented)
    for target in glue:
        edges.append(Edge((target,), "compile", (f"pgo/{PurePosixPath(target).stem}.c",), variables={
            "cc": compiler(toolchain),
            "flags": f"${flags_name(config, 'c')} -DHAK_INSTRUMENT_GCC={int(toolchain == 'gcc')}"}))
    # No version script here: the runner calls functions of instrument.c.
    script = f"pgo/counters-{toolchain}.ld"
    wrap = " -Wl,--wrap=__gcov_exit" if toolchain == "gcc" else ""
    variables = link_variables(project, config, f"$link_shared -fprofile-generate -Wl,-T,{script}{wrap}")
    edges.append(Edge((library,), "link", (*config.objects(project.sources, "train"), *glue), implicit=(script,),
                      variables=variables))
    parts, trained = [], []
    for row in project.workloads:
        if row.role != "train":
            continue
        out = f"{tree}/train/{row.name}.{PROFILE_SUFFIX[toolchain]}"
        edges.append(Edge((out,), "train", implicit=(library, *workload_needs(row), STEADY, WITNESS, "pgo/train.py",
                                                     "pgo/counters.py"),
                          implicit_outputs=(f"{out}.json",),
                          variables={"workload": row.name, "so": library, **common}))
        parts.append(f"{row.weight}:{out}")
        trained += [out, f"{out}.json"]
    edges.append(Edge((profile,), "merge", implicit=(*trained, "pgo/merge.py"), implicit_outputs=(f"{profile}.json",),
                      variables={"parts": " ".join(parts), "profile": profile, **common}))
    notes = f" --notes {tree}/gcov" if toolchain == "gcc" else ""
    edges.append(Edge((f"{tree}/pgo/checked.json",), "check",
                      implicit=(profile, f"{profile}.json", library, "pgo/check.py"),
                      variables={"options": f"--so {library}{notes}", "profile": profile, **common}))
    return edges


def given_edges(project, config) -> list:
    """A given profile in place of training, gates and selection: copies, and the check."""
    tree, profile = config.tree, config.profile()
    edges = [Edge((f"{tree}/{name}",), "copy", (f"{project.profile}/{name}",)) for name in GIVEN]
    for suffix in ("", ".json"):
        edges.append(Edge((f"{profile}{suffix}",), "copy",
                          (f"{project.profile}/pgo/{PROFILE_NAME[config.toolchain]}{suffix}",)))
    edges.append(Edge((f"{tree}/pgo/checked.json",), "check", implicit=(profile, f"{profile}.json", "pgo/check.py"),
                      variables={"options": "", "profile": profile, "toolchain": config.toolchain,
                                 "variant": config.variant}))
    return edges


def pgo_edges(project, config) -> list:
    """Stage pgo: the same sources with the checked profile."""
    tree, profile = config.tree, config.profile()
    checked = f"{tree}/pgo/checked.json"
    edges, unpacked = [], f"{tree}/gcov/unpacked.json"
    if config.toolchain == "gcc":
        # An instrumented compile deletes the .gcda of its name, so that this comes after all of them.
        instrumented = () if project.profile else config.objects(project.sources, "train")
        edges.append(Edge((unpacked,), "unpack", (profile,), implicit=("pgo/unpack.py", *instrumented),
                          variables={"directory": f"{tree}/gcov"}))

    def profiled(source):
        if config.toolchain == "clang":
            return f"$pgo_clang -fprofile-use={profile}", (profile, checked), ()
        return f"$pgo_gcc {gcc_names(config, source)}", (unpacked, checked), ()

    return edges + [*compile_edges(project, config, "pgo", profiled), link_edge(project, config, "pgo")]


def measures(project, config, stages) -> tuple:
    """The measurements of the stages, and their golden counts."""
    return tuple(f"{config.tree}/measure/{stage}/{row.name}.json" for stage in stages for row in project.workloads) + \
        tuple(f"{config.tree}/golden/{stage}.json" for stage in stages)


def counts(project, config, stages) -> tuple:
    """Callgrind outputs of the training workloads."""
    return tuple(f"{config.tree}/measure/{stage}/{row.name}.cg.gz" for stage in stages for row in project.workloads
                 if row.role == "train")


def measure_edges(project, config, stage) -> list:
    """One counting run a workload, and the golden counts."""
    library = config.library(stage)
    common = {"so": library, "stage": stage, "toolchain": config.toolchain, "variant": config.variant}
    edges = []
    for row in project.workloads:
        json = f"{config.tree}/measure/{stage}/{row.name}.json"
        edges.append(Edge((json,), "measure", implicit=(
            library, *workload_needs(row), STEADY, "bench/measure.py", *READERS), implicit_outputs=(
                f"{json.removesuffix('.json')}.cg.gz",), variables={"workload": row.name, "json": json, **common}))
    edges.append(Edge((f"{config.tree}/golden/{stage}.json",), "golden",
                      implicit=(library, "build/bench/bench_fastpath", STEADY, "bench/golden.py", *READERS),
                      variables=common))
    return edges


def again(project, config) -> tuple:
    """A second measurement of the base library under the workloads that judge: its difference is the gates' noise."""
    return tuple(f"{config.tree}/measure/{AGAIN}/{row.name}.json" for row in project.workloads
                 if row.role == "holdout" and row.gate)


def again_edges(project, config) -> list:
    """Its edges."""
    rows = tuple(row for row in project.workloads if row.role == "holdout" and row.gate)
    variables = {"so": config.library("base"), "stage": AGAIN, "toolchain": config.toolchain, "variant": config.variant}
    return [Edge((json,), "measure", implicit=(
        config.library("base"), *workload_needs(row), STEADY, "bench/measure.py", *READERS),
        implicit_outputs=(f"{json.removesuffix('.json')}.cg.gz",),
        variables={"workload": row.name, "json": json, **variables})
            for json, row in zip(again(project, config), rows)]


def gate_edge(project, config, stage, needs) -> Edge:
    """The verdict on a stage, from the measurements of the stages up to it."""
    stages = STAGES[:STAGES.index(stage) + 1]
    return Edge((f"{config.tree}/gate/{stage}.json",), "gate",
                implicit=(*measures(project, config, stages), *again(project, config), *needs, "bench/gates.toml",
                          "bench/gate.py"),
                variables={"stage": stage, "tree": config.tree})


def select_edge(config, what, outputs, gate, options="", needs=()) -> Edge:
    """A verdict made effective: the files that name what goes on."""
    tree = config.tree
    return Edge(tuple(f"{tree}/select/{name}" for name in outputs), "select",
                implicit=(f"{tree}/gate/{gate}.json", "bench/select.py", *(f"{tree}/{need}" for need in needs)),
                variables={"what": what, "tree": tree, "options": options})


def ordered_link(project, config, target, order, more="") -> Edge:
    """Link the objects that were let through in an order."""
    tree, objects = config.tree, f"{config.tree}/select/objects.rsp"
    both = config.objects(project.sources, "base") + config.objects(project.sources, "pgo")
    return Edge((f"{tree}/{target}",), "link_ordered", implicit=(objects, order, *both, EXPORTS),
                variables={**link_variables(project, config), "objects": objects, "order": order, "more": more})


def layout_edges(project, config) -> list:
    """Stages layout and bolt: links and rewriting. Which objects and which order is read from select/."""
    tree = config.tree
    order, accepted = f"{tree}/layout/order.txt", f"{tree}/select/order.txt"
    edges = []
    if not project.profile:
        edges.append(Edge((order,), "order", implicit=(
            f"{tree}/select/compile.json", *counts(project, config, ("base", "pgo")), config.library("base"),
            config.library("pgo"), "layout/order.py", "layout/inputs.py", *READERS), variables={"tree": tree}))
        edges.append(ordered_link(project, config, f"layout/{LIBRARY}", order))
        edges.append(artifact_edge(config, "layout", order))
        edges.append(Edge((f"{tree}/bolt/profile.fdata",), "fdata", implicit=(
            f"{tree}/select/compile.json", *counts(project, config, ("base", "pgo")), f"{tree}/bolt/input.so",
            config.library("base"), config.library("pgo"), "layout/fdata.py", "layout/inputs.py", *READERS),
            variables={"tree": tree}))
    else:
        edges.append(ordered_link(project, config, f"layout/{LIBRARY}", accepted))
    edges.append(ordered_link(project, config, "bolt/input.so", accepted, "-Wl,--emit-relocs"))
    edges.append(Edge((config.library("bolt"),), "bolt", implicit=(
        f"{tree}/bolt/input.so", f"{tree}/bolt/profile.fdata", "layout/bolt.py"),
        variables={"so": f"{tree}/bolt/input.so", "fdata": f"{tree}/bolt/profile.fdata"}))
    edges.append(artifact_edge(config, "bolt"))
    return edges


def gated_edges(project, config) -> list:
    """Measurements, verdicts and what follows from them."""
    edges = [edge for stage in STAGES for edge in measure_edges(project, config, stage)]
    edges += again_edges(project, config)
    sources = project.sources.c + project.sources.cxx
    names = " ".join(str(PurePosixPath(name).with_suffix(".o")) for name in sources)
    tree = config.tree
    edges.append(gate_edge(project, config, "pgo", ()))
    edges.append(select_edge(config, "compile", ("objects.rsp", "compile.json"), "pgo", f"--objects {names}"))
    edges.append(gate_edge(project, config, "layout", (f"{tree}/select/compile.json",)))
    edges.append(select_edge(config, "order", ("order.txt", "layout.json"), "layout",
                             needs=("layout/order.txt", "select/compile.json")))
    edges.append(gate_edge(project, config, "bolt", (f"{tree}/select/layout.json",)))
    edges.append(select_edge(config, "ship", ("ship.json",), "bolt", needs=("select/layout.json",)))
    return edges


def ship_edge(project, config, directory) -> Edge:
    """The shipped directory: whichever library select/ship.json names."""
    tree = config.tree
    given = tuple(f"{tree}/{name}" for name in GIVEN)
    outputs = tuple(f"{directory}/{name}" for name in ("SHA256SUMS", LIBRARY, "libhakmem.a", "manifest.json"))
    both = config.objects(project.sources, "base") + config.objects(project.sources, "pgo")
    return Edge(outputs, "ship", implicit=(
        *(config.library(stage) for stage in STAGES), *both, *given, config.profile(), "include/hakmem.h",
        "ship/ship.py"), order_only=tuple(f"{tree}/{stage}/artifact.ok" for stage in ("base", "pgo", "bolt")),
        variables={"directory": directory, "tree": tree, "toolchain": config.toolchain, "variant": config.variant})


def program_edges(project) -> list:
    """Benchmark programs, built once with gcc, the same for all, and what is preloaded into runs that count."""
    edges = [Edge((STEADY,), "program", ("bench/programs/steady.c", "bench/programs/forget.c"), variables={
        "cc": compiler("gcc"), "flags": "$flags_c -shared -fPIC"}),
             Edge((FORGET,), "program", ("bench/programs/forget.c",), variables={
                 "cc": compiler("gcc"), "flags": "$flags_c -shared -fPIC"}),
             Edge((WITNESS,), "program", ("pgo/witness.c", "pgo/slots.c"), variables={
                 "cc": compiler("gcc"), "flags": "$flags_c -shared -fPIC -fno-builtin -fvisibility=hidden"})]
    for name in project.programs:
        source = PurePosixPath(name)
        language = "c" if source.suffix == ".c" else "cxx"
        edges.append(Edge((f"build/bench/{source.stem}",), "program",
                          (f"bench/programs/{name}", "bench/programs/harness.c"),
                          implicit=("bench/programs/harness.h",),
                          variables={"cc": compiler("gcc", language), "flags": f"$flags_{language}"}))
    return edges


def input_edges(project) -> list:
    """Generated inputs."""
    return [Edge((f"build/inputs/{row.name}",), "input", implicit=("bench/inputs.py",),
                 variables={"generator": row.generator}) for row in project.inputs]


def resolve_edges(project) -> list:
    """Which program an own command really runs. What it was is in a depfile, so that its change is noticed."""
    return [Edge((RESOLVED.format(name=row.name),), "resolve", implicit=(
        f"build/workload/{row.name}.json", *row.watch, WITNESS, STEADY, FORGET, "pgo/resolve.py", "pgo/train.py"),
        variables={"workload": row.name}) for row in project.workloads if row.own]


def test_objects(project, test, toolchain) -> tuple:
    """(edges, objects): the test's own sources, and for a unit test the library's, in its variant and sanitizer."""
    unit = test.kind in ("unit", "fuzz")
    sanitize = f"-fsanitize={test.sanitize}" if test.sanitize else ""
    variant = test.variant or "bench_minimal"
    flags = ["-O1 -g -pthread -fno-builtin", "-Wall -Wextra -Werror -Itests -Icore -Iinclude", sanitize, *test.flags]
    flags += [f"$defines_{variant} -DHAK_OVERRIDE=0"] if unit else []
    flags += ["-fPIC"] if test.kind == "plugin" else []
    edges, objects = [], []
    for source in test.sources:
        target = f"build/tests/obj/{test.name}/{PurePosixPath(source).with_suffix('.o')}"
        language = "c" if source.endswith(".c") else "cxx"
        objects.append(target)
        edges.append(Edge((target,), "compile_test", (source,), variables={
            "cc": compiler(toolchain, language), "flags": " ".join((f"$flags_{language}", *filter(None, flags)))}))
    if unit:
        instrumented = f"-fsanitize={test.callbacks}" if test.callbacks else sanitize
        room = f"build/tests/obj/{variant}-{'callbacks-' if test.callbacks else ''}" \
               f"{(test.callbacks or test.sanitize or 'plain').replace(',', '-')}"
        for source in project.sources.c + project.sources.cxx:
            target = f"{room}/{PurePosixPath(source).with_suffix('.o')}"
            language = "c" if source.endswith(".c") else "cxx"
            objects.append(target)
            edges.append(Edge((target,), "compile_test", (source,), variables={
                "cc": compiler(toolchain, language),
                "flags": f"$flags_{language} -O1 -g -pthread -Wall -Wextra -Icore -Iinclude $no_builtin "
                         f"$defines_{variant} -DHAK_OVERRIDE=0 {instrumented}".strip()}))
    return edges, objects


def test_edges(project) -> list:
    """C tests: programs of build/tests. gcc builds them, and clang those that need its libFuzzer."""
    linked = Config("clang", "bench_minimal")
    edges = {}
    for test in project.tests:
        toolchain = "clang" if test.kind == "fuzz" else "gcc"
        made, objects = test_objects(project, test, toolchain)
        for edge in made:
            edges[edge.outputs] = edge
        cxx = any(not source.endswith(".c") for source in test.sources)
        flags = ["-pthread", f"-fsanitize={test.sanitize}" if test.sanitize else "",
                 "-shared -fPIC" if test.kind == "plugin" else ""]
        libs, implicit = list(test.libs), ()
        if test.kind == "linked":
            libs = [f"-L{linked.tree}/base -lhakmem", *libs]
            implicit = (linked.library("base"),)
        target = f"build/tests/{test.name}{'.so' if test.kind == 'plugin' else ''}"
        edges[(target,)] = Edge((target,), "link_test", tuple(objects), implicit=implicit, variables={
            "cc": compiler(toolchain, "cxx" if cxx else "c"), "flags": " ".join(filter(None, flags)),
            "libs": " ".join(libs)})
    return list(edges.values())


def test_targets(project) -> tuple:
    """What `ninja tests` builds."""
    return tuple(f"build/tests/{test.name}{'.so' if test.kind == 'plugin' else ''}" for test in project.tests)


def ship_directory(configs, config) -> str:
    """The first configuration ships to dist/, any further one below its own tree."""
    return "dist" if config == configs[0] else f"{config.tree}/dist"


def wall_edge(project, configs, config) -> Edge:
    """Wall clock of all stages: after every other edge of every configuration, one configuration after the other."""
    tree, place = config.tree, configs.index(config)
    quiet = tuple(output for other in configs for output in
                  (*measures(project, other, STAGES), f"{ship_directory(configs, other)}/SHA256SUMS"))
    earlier = (f"{configs[place - 1].tree}/wall.json",) if place else ()
    needs = {need for row in project.workloads if row.wall for need in workload_needs(row)}
    return Edge((f"{tree}/wall.json",), "wall",
                implicit=(*(config.library(stage) for stage in STAGES), f"{tree}/select/ship.json", *sorted(needs),
                          "bench/wall.py"), order_only=quiet + earlier, variables={"tree": tree})


def own_edge(project, config) -> Edge:
    """What ships, under the user's own commands: alone, after the wall clock of everything."""
    tree, rows = config.tree, [row for row in project.workloads if row.own]
    counted = tuple(f"{tree}/measure/{stage}/{row.name}.json" for stage in STAGES for row in rows)
    return Edge((f"{tree}/own.json",), "own",
                implicit=(*(config.library(stage) for stage in STAGES), f"{tree}/select/ship.json", *counted, STEADY,
                          *sorted({need for row in rows for need in workload_needs(row)}), "bench/own.py"),
                order_only=(f"{tree}/wall.json",), variables={"tree": tree})


def own_results(project, configs) -> tuple:
    """The answers about the user's own commands; none where none was given."""
    return tuple(f"{config.tree}/own.json" for config in configs) if any(row.own for row in project.workloads) else ()


def config_edges(project, configs, config) -> list:
    """The whole chain of one configuration, but for its base stage."""
    edges = given_edges(project, config) if project.profile else train_edges(project, config)
    edges += pgo_edges(project, config) + layout_edges(project, config)
    edges += [artifact_edge(config, stage) for stage in ("base", "pgo")]
    if not project.profile:
        edges += gated_edges(project, config)
        edges.append(wall_edge(project, configs, config))
        edges += [own_edge(project, config)] if own_results(project, configs) else []
    edges.append(ship_edge(project, config, ship_directory(configs, config)))
    return edges


def phony_edges(project, configs) -> list:
    """The targets that people name."""
    matrix = tuple(Config(toolchain, name).library("base") for toolchain in TOOLCHAINS for name in project.variants)
    shipped = tuple(f"{ship_directory(configs, config)}/SHA256SUMS" for config in configs)
    bench = tuple(f"build/bench/{PurePosixPath(name).stem}" for name in project.programs)
    checks = tuple(f"{config.tree}/{stage}/artifact.ok" for config in configs for stage in
                   (("base", "pgo", "bolt") if project.profile else STAGES))
    groups = {
        "all": (*(config.library("base") for config in configs), "compile_commands.json"),
        "matrix": (*matrix, "compile_commands.json"),
        "bench": (STEADY, WITNESS, FORGET, *bench, *(f"build/inputs/{row.name}" for row in project.inputs)),
        "tests": test_targets(project),
        "ship": shipped,
        "checks": checks,
    }
    if not project.profile:
        walls = tuple(f"{config.tree}/wall.json" for config in configs)
        groups |= {
            "measure": tuple(out for config in configs for out in measures(project, config, STAGES)),
            "golden": tuple(f"{config.tree}/golden/{stage}.json" for config in configs for stage in STAGES),
            "gate": tuple(f"{config.tree}/gate/{stage}.json" for config in configs for stage in GATED),
            "wall": walls,
            "report": ("build/report/index.html",),
            "pgo": (*shipped, *checks, *walls, *own_results(project, configs), "compile_commands.json"),
        }
    else:
        groups["pgo"] = (*shipped, *checks)
    return [Edge((name,), "phony", inputs) for name, inputs in groups.items()]


def report_edge(project, configs) -> Edge:
    """The report page over all configurations."""
    needs = tuple(need for config in configs for need in
                  (*measures(project, config, STAGES), f"{config.tree}/wall.json", f"{config.tree}/select/ship.json",
                   *(f"{config.tree}/gate/{stage}.json" for stage in GATED)))
    return Edge(("build/report/index.html",), "report", implicit=(*needs, "bench/report.py", "results/seals.jsonl"),
                variables={"trees": " ".join(f"--build {config.tree}" for config in configs)})


def plan(project, configs) -> list:
    """All edges, those of the configured trees first."""
    edges = []
    every = [Config(toolchain, name) for toolchain in TOOLCHAINS for name in project.variants]
    for config in [*configs, *(config for config in every if config not in configs)]:
        edges += base_edges(project, config)
    for config in configs:
        edges += config_edges(project, configs, config)
    edges += program_edges(project) + input_edges(project) + resolve_edges(project) + test_edges(project)
    if not project.profile:
        edges.append(report_edge(project, configs))
    edges.append(Edge(("compile_commands.json",), "compdb", implicit=("build.ninja",)))
    return edges + phony_edges(project, configs)
