# SPDX-License-Identifier: MIT
"""Run one workload under one library: in a Scratch, with the pinned environment, only the program preloaded.

The library, the inputs and the project's own programs are copied into the scratch, so that no path of the
clone, and no difference of its length, reaches the program. Whatever the program leaves running is ended with it.
"""

import contextlib
import os
import re
import shutil
from pathlib import Path

from common import paths, proc
from common.errors import Failure, UserError, tell
from common.household import Guardian, Household
from common.paths import FORGET, STEADY
from common.scratch import PINNED_ENV, Scratch
from common.tree import LIBRARY

STDOUT = "stdout"
_REFUSED = re.compile(r"ERROR: ld\.so: object '([^']*)' from LD_PRELOAD cannot be preloaded \(([^)]*)\)")
_OTHER_KIND = "wrong ELF class"     # a 32-bit program on the way: it runs without the library


def _copy(source: Path, target: Path):
    if target.exists():
        return
    if not source.exists():
        how = f" (`ninja {source.relative_to(paths.ROOT)}`)" if source.is_relative_to(paths.ROOT) else ""
        raise UserError(f"{source} is missing: build it first{how}")
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)


def _copy_library(source: Path, target: Path):
    """One that every user can load, whatever the umask was when it was built: a program may become another user."""
    _copy(source, target)
    target.chmod(0o755)


def _local_word(word: str, scratch: Path) -> str:
    """An argv word with its placeholders replaced by scratch-relative paths, and what it names copied in."""
    for placeholder, directory in (("{bench}/", paths.BENCH_PROGRAMS), ("{inputs}/", paths.INPUTS)):
        before, found, rest = word.partition(placeholder)
        if found:
            top = rest.split("/")[0]
            _copy(directory / top, scratch / top)
            return f"{before}./{rest}"
    return word.replace("{root}", str(paths.ROOT))


def _place_of(workload, scratch: Path) -> Path:
    """The working directory. An own command has one apart from what the tools put into the scratch, with links to what
    is in the directory where it was given: its words mean there what they meant here, and none of its files has a
    name that a tool would write to."""
    if not workload.here:
        return scratch
    place = scratch / "run"
    place.mkdir()
    place.chmod(scratch.stat().st_mode & 0o7777)
    for entry in sorted(Path(workload.here).iterdir()):
        (place / entry.name).symlink_to(entry)
    return place


def _argv_and_environment(workload, scratch: Path) -> tuple:
    """Of the program. The words of an own command are left alone: nothing stands for anything there."""
    if workload.own:
        return list(workload.command), dict(workload.env)
    return ([_local_word(word, scratch) for word in workload.command],
            {key: _local_word(value, scratch) for key, value in workload.env.items()})


def preload_word(scratch: Path, so, beside="", theirs="") -> str:
    """LD_PRELOAD=... with absolute names: the program may change its directory. The libraries are copied there.
    `theirs` is what the command itself preloads: it comes last."""
    names = []
    if beside:
        _copy_library(paths.BENCH_PROGRAMS / beside, scratch / beside)
        names.append(str(scratch / beside))
    if so is not None:
        _copy_library(Path(so).resolve(), scratch / LIBRARY)
        names.append(str(scratch / LIBRARY))
    return f"LD_PRELOAD={':'.join(filter(None, [*names, theirs]))}"


def hint(scratch: Path) -> str:
    """Why nothing can be run or loaded at the place of the runs."""
    if os.statvfs(scratch).f_flag & os.ST_NOEXEC:
        return f"; {scratch.parent} is mounted noexec: set TMPDIR to a directory that programs may be run from"
    return ""


def check_preloaded(stderr: str, scratch: Path):
    """Failure when ld.so says that it left the library out."""
    for name, reason in _REFUSED.findall(stderr):
        if name.startswith(f"{scratch}/") and _OTHER_KIND not in reason:
            raise Failure(f"ld.so does not preload the library: {reason}{hint(scratch)}")


def launch(workload, so, *, wrapper=(), extra_env=None, timeout=None, keep=None, steady=False,
           companion="", beside=(), idle=0.0, tracer="") -> proc.Result:
    """Run the workload to its end under `so` (None: the C library's own malloc) and return the Result.

    `wrapper` is an argv put before the program's (valgrind, strace). A word "{preload}" in it becomes
    LD_PRELOAD=<the library>, and the variable is then left out of the wrapper's own environment, for
    wrappers that would be preloaded too (`strace -E {preload}`). "{scratch}" in a word of it or in a value of
    `extra_env` becomes the run's directory. `keep(scratch)` is called after a run that succeeded, before the directory
    goes, to take files out. The program's stdout is in its file "stdout". Without `timeout` the workload's own holds.
    `steady` makes equal runs count the same (bench/programs/steady.c); `companion` is another library of the project's
    that is preloaded before the subject. `beside(scratch)`s prepare the directory.
    A server waits `idle` seconds behind its load before it is asked to end. `tracer` is the name of a wrapper that runs
    on when the program has ended, to the end of all that it left.
    """
    if workload.server:
        return _serve(workload, so, wrapper, keep, beside, idle, extra_env, timeout)
    with Scratch() as scratch:
        for prepare in beside:
            prepare(scratch)
        for name in workload.inputs:
            _copy(paths.INPUTS / name, scratch / name)
        argv, own_environment = _argv_and_environment(workload, scratch)
        environment = {**PINNED_ENV, "GIT_CEILING_DIRECTORIES": str(scratch.parent), **own_environment,
                       **{key: value.replace("{scratch}", str(scratch)) for key, value in (extra_env or {}).items()}}
        preload = preload_word(scratch, so, STEADY if steady else companion, own_environment.get("LD_PRELOAD", ""))
        if "{preload}" not in wrapper and preload != "LD_PRELOAD=":
            environment["LD_PRELOAD"] = preload.partition("=")[2]
        wrapper = [preload if word == "{preload}" else word.replace("{scratch}", str(scratch)) for word in wrapper]
        try:
            result = _run(workload, [*wrapper, *argv], scratch, environment, timeout, tracer)
            if not (scratch / STDOUT).exists():
                raise Failure(f"its program removed files of {scratch}, the directory above its own")
            check_preloaded(result.stderr, scratch)
        except (Failure, UserError) as error:
            raise type(error)(f"workload '{workload.name}' under {so or 'the C library'}: {error}") from None
        if keep is not None:
            keep(scratch)
        return result


def _serve(workload, so, wrapper, keep, beside, idle, extra_env, timeout) -> proc.Result:
    """The same for a server; it has the real clock. `seconds` is its processor time for the load."""
    from common import serve
    counting = any("callgrind" in word for word in wrapper)

    def keep_loaded(scratch):
        with open(scratch / serve.LOGS["server"], "rb") as log:
            check_preloaded(proc.ends(log), scratch)
        if keep is not None:
            keep(scratch)

    def preload(scratch, theirs):
        return preload_word(scratch, so, FORGET if counting else "", theirs)

    try:
        found = serve.run(workload, preload, wrapper=wrapper, keep=keep_loaded, beside=beside, counting=counting,
                          idle=idle, extra_env=extra_env, timeout=timeout)
    except (Failure, UserError) as error:
        raise type(error)(f"workload '{workload.name}' under {so or 'the C library'}: {error}") from None
    return proc.Result(workload.command, 0, "", found.stderr, found.cpu_seconds, found)


def _run(workload, argv, scratch, environment, timeout, tracer) -> proc.Result:
    """The program to its end, and the end of what it left behind."""
    household, place = Household(scratch, tracer=tracer), _place_of(workload, scratch)
    try:
        with Guardian(scratch) if workload.own else contextlib.nullcontext(), household:
            result = proc.run(argv, cwd=place, env=environment, name=workload.command[0], stdout=scratch / STDOUT,
                              timeout=workload.timeout if timeout is None else timeout, file_limit=proc.LARGEST_FILE)
    except UserError as error:
        raise UserError(f"{error}{hint(scratch)}") from None
    if household.left and workload.own:
        tell(f"workload '{workload.name}': its program left {', '.join(household.left)} running, which was ended with "
             "it; a server is trained by a file that says how it is started, loaded and stopped (docs/pipeline.md)")
    return result
