"""Run one workload under one library: in a Scratch, with the pinned environment, only the program preloaded.

The library, the inputs and the project's own programs are copied into the scratch, so that no path of the
clone, and no difference of its length, reaches the program.
"""

import shutil
from pathlib import Path

from common import paths, proc
from common.errors import Failure, UserError
from common.scratch import PINNED_ENV, Scratch

LIBRARY = "libhakmem.so"
STDOUT = "stdout"
LARGEST_FILE = 2 << 30      # a workload that writes without end must not fill the disk
PRELOAD = f"LD_PRELOAD=./{LIBRARY}"


def _copy(source: Path, target: Path):
    if target.exists():
        return
    if not source.exists():
        raise UserError(f"{source} is missing: build it first (`ninja {source.relative_to(paths.ROOT)}`)")
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)


def _local_word(word: str, scratch: Path) -> str:
    """An argv word with its placeholders replaced by scratch-relative paths, and what it names copied in."""
    for placeholder, directory in (("{bench}/", paths.BENCH_PROGRAMS), ("{inputs}/", paths.INPUTS)):
        before, found, rest = word.partition(placeholder)
        if found:
            top = rest.split("/")[0]
            _copy(directory / top, scratch / top)
            return f"{before}./{rest}"
    return word.replace("{root}", str(paths.ROOT))


def launch(workload, so, *, wrapper=(), extra_env=None, timeout=None, keep=None) -> proc.Result:
    """Run the workload to its end under `so` (None: the C library's own malloc) and return the Result.

    `wrapper` is an argv put before the program's (valgrind, strace). A word "{preload}" in it becomes
    LD_PRELOAD=./libhakmem.so, and the variable is then left out of the wrapper's own environment, for
    wrappers that would be preloaded too (`strace -E {preload}`). "{scratch}" in a value of `extra_env` becomes
    the run's directory. `keep(scratch)` is called after a run that succeeded, before the directory goes, to take
    files out. The program's stdout is in its file "stdout". Without `timeout` the workload's own holds.
    """
    with Scratch() as scratch:
        for name in workload.inputs:
            _copy(paths.INPUTS / name, scratch / name)
        argv = [_local_word(word, scratch) for word in workload.command]
        environment = {**PINNED_ENV, **{key: _local_word(value, scratch) for key, value in workload.env.items()},
                       **{key: value.replace("{scratch}", str(scratch)) for key, value in (extra_env or {}).items()}}
        preload = ""
        if so is not None:
            _copy(Path(so).resolve(), scratch / LIBRARY)
            preload = PRELOAD
        if preload and "{preload}" not in wrapper:
            environment["LD_PRELOAD"] = f"./{LIBRARY}"
        wrapper = [preload or "LD_PRELOAD=" if word == "{preload}" else word for word in wrapper]
        try:
            result = proc.run([*wrapper, *argv], cwd=scratch, env=environment,
                              timeout=workload.timeout if timeout is None else timeout,
                              stdout=scratch / STDOUT, file_limit=LARGEST_FILE)
        except Failure as error:
            raise Failure(f"workload '{workload.name}' under {so or 'the C library'}: {error}") from None
        if keep is not None:
            keep(scratch)
        return result
