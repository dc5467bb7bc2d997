# SPDX-License-Identifier: MIT
"""This clone, as git sees it, and as far as possible where there is no git: of an unpacked archive."""

import os
import shutil
from pathlib import Path

from common import proc
from common.errors import Failure, UserError
from common.paths import ROOT

# What a build or a tool makes, where git does not say it.
MADE = frozenset((".git", "build", "dist", "policy", "__pycache__", ".hypothesis", ".pytest_cache", "build.ninja",
                  "compile_commands.json"))


def git(*words, timeout=60, check=True) -> proc.Result:
    """A git command in the clone, whoever owns it, and whatever repository a hook that called us is about."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return proc.run(["git", "-c", "safe.directory=*", "-C", ROOT, *words], env=environment, timeout=timeout,
                    check=check)


def is_repository() -> bool:
    """Whether the clone is a repository of its own: an archive may have been unpacked inside of another one."""
    try:
        return git("rev-parse", "--show-cdup").stdout.strip() == ""
    except (Failure, UserError):
        return False


def names() -> list:
    """The files of the project: those that git knows or would add; without git, all but what is made."""
    if is_repository():
        listed = git("ls-files", "-z", "-co", "--exclude-standard").stdout.split("\0")
        return [name for name in listed if (ROOT / name).is_file()]
    found = []
    for directory, inner, files in os.walk(ROOT):
        inner[:] = sorted(set(inner) - MADE)
        found += [os.path.relpath(os.path.join(directory, name), ROOT) for name in sorted(set(files) - MADE)]
    return [name for name in found if (ROOT / name).is_file()]


def copy(to: Path, but=()) -> Path:
    """The files of the project, copied, without the rooms `but`."""
    for name in names():
        if Path(name).parts[0] not in but:
            target = to / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return to
