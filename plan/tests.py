# SPDX-License-Identifier: MIT
"""Edges of the C tests: programs of build/tests. gcc builds them, and clang those that need its libFuzzer."""

from pathlib import PurePosixPath

from plan.ninja import Edge
from plan.project import Config, compiler, language

LINKED = Config("clang", "bench_minimal")       # the library that a `linked` test is linked with


def target(test) -> str:
    """What a test is built to."""
    return f"build/tests/{test.name}{'.so' if test.kind == 'plugin' else ''}"


def compiles(sources, directory, toolchain, flags) -> list:
    """An edge a source; `flags` but for the language's."""
    return [Edge((f"{directory}/{PurePosixPath(source).with_suffix('.o')}",), "compile", (source,), variables={
        "cc": compiler(toolchain, language(source)), "flags": f"$flags_{language(source)} {flags}"})
            for source in sources]


def sanitizing(sanitize) -> str:
    """What is found ends the program, also by UBSan alone: code that went on behind it would be a quarter of the
    compiling."""
    return f"-fsanitize={sanitize} -fno-sanitize-recover=all" if sanitize else ""


def own_edges(test, toolchain) -> list:
    """The test's own sources."""
    words = ["-O1 -g1 -pthread -fno-builtin", "-Wall -Wextra -Werror -Itests -Icore -Iinclude",
             sanitizing(test.sanitize), *test.flags,
             f"$defines_{test.variant} -DHAK_OVERRIDE=0" if test.whitebox else "",
             "-fPIC" if test.kind == "plugin" else ""]
    return compiles(test.sources, f"build/tests/obj/{test.name}", toolchain, " ".join(filter(None, words)))


def layer(source) -> str:
    """Of core/."""
    return PurePosixPath(source).parts[1]


def library_sources(project, test) -> tuple:
    """(the sources whose objects are the library's own, those that are compiled for such tests). Own objects serve
    where no sanitizer changes them, but for the layer with the C library's names, which no program may have twice."""
    wanted = [source for source in project.sources if not test.layers or layer(source) in test.layers]
    if test.callbacks or test.sanitize:
        return [], wanted
    return ([source for source in wanted if layer(source) != "api"],
            [source for source in wanted if layer(source) == "api"])


def library_edges(test, toolchain, sources) -> list:
    """Sources of the library, in the test's variant and for its sanitizer. Tests that agree in these share them. Of
    debug information they have what a backtrace shows: variables too would be a sixth of the compiling."""
    sanitize = test.callbacks or test.sanitize
    room = f"{test.variant}-{(sanitize or 'plain').replace(',', '-')}"
    flags = f"-O1 -g1 -pthread -Wall -Wextra -Icore -Iinclude $no_builtin $defines_{test.variant} -DHAK_OVERRIDE=0"
    flags += f" {sanitizing(sanitize)}"
    return compiles(sources, f"build/tests/obj/{room}", toolchain, flags)


def link_edge(test, toolchain, objects) -> Edge:
    """The program, or the plug-in."""
    linked = test.kind == "linked"
    flags = ["-pthread", f"-fsanitize={test.sanitize}" if test.sanitize else "",
             "-shared -fPIC" if test.kind == "plugin" else ""]
    libs = [f"-L{LINKED.tree}/base -lhakmem", *test.libs] if linked else test.libs
    cxx = "cxx" in map(language, test.sources)
    return Edge((target(test),), "link_test", objects, implicit=(LINKED.tree.library("base"),) if linked else (),
                variables={"cc": compiler(toolchain, "cxx" if cxx else "c"), "flags": " ".join(filter(None, flags)),
                           "libs": " ".join(libs)})


def test_edges(project) -> list:
    """All of them."""
    edges = {}
    for test in project.tests:
        toolchain = "clang" if test.kind == "fuzz" else "gcc"
        shared, compiled = library_sources(project, test) if test.whitebox else ([], [])
        made = own_edges(test, toolchain) + library_edges(test, toolchain, compiled)
        edges |= {edge.outputs: edge for edge in made}
        edges[(target(test),)] = link_edge(test, toolchain, [
            *(name for edge in made for name in edge.outputs),
            *Config(toolchain, test.variant).objects(shared, "base")])
    return list(edges.values())
