# SPDX-License-Identifier: MIT
"""Programs with runtimes of their own, and the linker's auditing: they start and run with the library in front."""

import os
import subprocess
from pathlib import Path

import pytest

from common.proc import describe_status
from tests import pairs
from tests.support import Preloaded, label, libraries, needs

NEEDS = ("matrix",)
# Every block of memory that is watched by a runtime: its malloc, a thread, contents.
PROGRAM = r"""
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void *use(void *unused)
{
    for (size_t size = 1; size < 3000000; size = size * 2 + 1) {
        char *block = malloc(size);
        if (block == NULL) {
            exit(3);
        }
        memset(block, 7, size);
        if (block[size / 2] != 7) {
            exit(4);
        }
        block = realloc(block, size + size / 2 + 1);
        free(block);
    }
    return unused;
}

int main(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, use, NULL) != 0) {
        return 2;
    }
    use(NULL);
    pthread_join(thread, NULL);
    return 0;
}
"""
COMPILERS = ("clang", "clang-22", "gcc")
SANITIZERS = ("thread", "memory", "address", "leak", "undefined")
AUDITOR = Path("/usr/lib/x86_64-linux-gnu/audit/sotruss-lib.so")
# gcc's ThreadSanitizer is a library, so that malloc is ours: it does not see how blocks change hands, and takes
# that for races.
SETTINGS = {"ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0", "LSAN_OPTIONS": "detect_leaks=0",
            "TSAN_OPTIONS": "report_bugs=0"}


def run_with(words, environment):
    """The status of a program and what it said."""
    # The address randomisation of newer kernels is more than older sanitizers can do with, by themselves.
    done = subprocess.run(["/usr/bin/setarch", "-R", "/usr/bin/env", *environment, *words], capture_output=True,
                          text=True, timeout=60, env={**os.environ, **SETTINGS}, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_sanitized_programs_run(compiler, sanitizer, tmp_path):
    source = tmp_path / "program.c"
    source.write_text(PROGRAM)
    built = subprocess.run([needs(compiler, compiler), "-g", "-pthread", f"-fsanitize={sanitizer}", str(source), "-o",
                            str(tmp_path / "program")], capture_output=True, text=True, check=False)
    if built.returncode != 0:
        pytest.skip(f"{compiler} has no -fsanitize={sanitizer} here")
    status, said = run_with([str(tmp_path / "program")], [])
    if status != 0:
        pytest.skip(f"{compiler} -fsanitize={sanitizer} does not run here without the library either: {said[:100]}")
    number = COMPILERS.index(compiler) + SANITIZERS.index(sanitizer)
    chosen = pairs.chosen(number, [label(so) for so in libraries()])
    for so in (so for so in libraries() if label(so) in chosen):
        with Preloaded(so) as preloaded:
            status, said = run_with([str(tmp_path / "program")], [f"LD_PRELOAD={preloaded.directory}/libhakmem.so"])
            assert status == 0, f"{label(so)}: {describe_status(status)}: {said[:2000]}"


def test_audited_programs_start():
    """An auditing library comes first and leaves little thread-local storage: enough for the variant plugin."""
    if not AUDITOR.exists():
        pytest.skip(f"{AUDITOR} is not installed: apt-get install libc6-dev-bin")
    found = [so for so in libraries() if "plugin" in label(so)]
    if not found:
        pytest.skip("the variant plugin is not built: ./configure.py --variant=plugin")
    for so in found:
        with Preloaded(so) as preloaded:
            status, said = run_with(["/bin/ls", "-d", "/"],
                                    [f"LD_AUDIT={AUDITOR}", f"LD_PRELOAD={preloaded.directory}/libhakmem.so"])
            assert status == 0 and "\n/\n" in f"\n{said}", f"{label(so)}: {describe_status(status)}: {said[:2000]}"


def test_plugin_needs_little_thread_local_storage():
    """Less than 64 bytes: what the linker keeps in reserve for libraries that come late is shared by all of them."""
    readelf = needs("readelf", "binutils")
    for so in libraries():
        if "plugin" in label(so):
            headers = subprocess.run([readelf, "-lW", str(so)], capture_output=True, text=True, check=True).stdout
            sizes = [int(line.split()[5], 16) for line in headers.splitlines() if line.split()[:1] == ["TLS"]]
            assert len(sizes) == 1 and sizes[0] <= 64, f"{label(so)}: {sizes}"
