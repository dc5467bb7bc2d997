# SPDX-License-Identifier: MIT
"""The build tree of one configuration, build/<toolchain>-<variant>: every file in it is named here, and only here."""

from dataclasses import dataclass
from pathlib import Path

from common import files, paths
from common.errors import UserError

LIBRARY = "libhakmem.so"
JUDGED = "judged"   # below it the libraries that a policy is judged by where it has values that a build alone sets
STAGES = ("base", "policy", "pgo", "layout", "bolt")
GIVEN = "policy"    # the stage that is there only where a policy was given
AGAIN = "again"     # in place of a stage's name: the base library, measured a second time
BEFORE = {"policy": ("base", None), "pgo": ("base", None), "layout": (None, "compile"), "bolt": (None, "layout")}
SUFFIX = {"clang": "profdata", "gcc": "gcda.tar"}       # of a profile
NOTES = "gcov"      # gcc: the directory that both compiles name with -dumpbase: .gcno files, .gcda of the profile


def stages_of(given: bool) -> tuple:
    """The stages of a build with a policy, or without."""
    return tuple(stage for stage in STAGES if given or stage != GIVEN)


def judged(values) -> str:
    """In place of a stage's name: the library that has these values of a policy compiled in."""
    return f"{JUDGED}/{'_'.join(f'{name}-{value}' for name, value in sorted(values.items()))}"


@dataclass(frozen=True)
class Tree:
    """Paths below one build directory."""
    root: Path

    def __str__(self):
        return str(self.root)

    @property
    def label(self) -> str:
        """<toolchain>-<variant>"""
        return self.root.name

    # what is built

    def library(self, stage: str) -> Path:
        """The library of a stage; stage `train` is the instrumented one."""
        return self.root / stage / LIBRARY

    def object(self, stage: str, source: str) -> Path:
        """What a source of core/ is compiled to."""
        return Path(f"{self.root}/{stage}/{source.rpartition('.')[0]}.o")     # of a thousand sources: one step, not two

    def artifact(self, stage: str) -> Path:
        """The stamp of the checks on a stage's library."""
        return self.root / stage / "artifact.ok"

    @property
    def order(self) -> Path:
        """The symbol order that the counts suggest."""
        return self.root / "layout" / "order.txt"

    @property
    def bolt_input(self) -> Path:
        """The library that BOLT reads."""
        return self.root / "bolt" / "input.so"

    @property
    def fdata(self) -> Path:
        """BOLT's profile."""
        return self.root / "bolt" / "profile.fdata"

    def tuned(self, room: str) -> Path:
        """Searched before core/: base/policy.def in it has a policy's values as defaults. Room `policy`: of the policy
        that was given; `select`: of what the gate let through; `judged/...`: of a library that it is judged by."""
        return self.root / room / "tuned"

    def tuned_table(self, room: str) -> Path:
        """The table in it."""
        return self.tuned(room) / "base" / "policy.def"

    # profiles

    def trained(self, toolchain: str, workload: str) -> Path:
        """The profile of one workload."""
        return self.root / "train" / f"{workload}.{SUFFIX[toolchain]}"

    def profile(self, toolchain: str) -> Path:
        """The merged profile."""
        return self.root / "pgo" / f"merged.{SUFFIX[toolchain]}"

    @property
    def checked(self) -> Path:
        """What was found in the merged profile."""
        return self.root / "pgo" / "checked.json"

    @property
    def notes(self) -> Path:
        """gcc: where both compiles name their profile."""
        return self.root / NOTES

    @property
    def unpacked(self) -> Path:
        """gcc: the digests of the merged profile's files, when they lie in `notes`."""
        return self.notes / "unpacked.json"

    # measurements and what follows from them

    def measure(self, stage: str, workload: str) -> Path:
        """The metrics of a workload under a stage's library."""
        return self.root / "measure" / stage / f"{workload}.json"

    def counts(self, stage: str, workload: str) -> Path:
        """Callgrind's output of the same run."""
        return self.root / "measure" / stage / f"{workload}.cg.gz"

    def golden(self, stage: str) -> Path:
        """Instructions of malloc and free, pattern by pattern."""
        return self.root / "golden" / f"{stage}.json"

    def gate(self, stage: str) -> Path:
        """The verdict on a stage."""
        return self.root / "gate" / f"{stage}.json"

    def select(self, name: str) -> Path:
        """A file that says what goes on: objects.rsp, compile.json, order.txt, layout.json, ship.json."""
        return self.root / "select" / name

    @property
    def replay(self) -> Path:
        """What a policy that was given changes in the replay of held-out runs."""
        return self.root / "policy" / "replay.json"

    @property
    def wall(self) -> Path:
        """Wall clock of all stages."""
        return self.root / "wall.json"

    @property
    def own(self) -> Path:
        """What ships, under the user's own commands."""
        return self.root / "own.json"

    @property
    def dist(self) -> Path:
        """Where any but the first configuration ships to."""
        return self.root / "dist"

    # what was decided

    def chosen(self, name: str) -> str:
        """The stage that the select file `name`.json names."""
        path = self.select(f"{name}.json")
        try:
            return files.read_fields(path, "stage")["stage"]
        except FileNotFoundError:
            raise UserError(f"{path} is missing: run `make pgo` first") from None

    def before(self, stage: str) -> str:
        """The stage that `stage` is built upon and gated against."""
        if stage not in BEFORE:
            raise UserError(f"stage '{stage}' is not gated; valid stages: {', '.join(BEFORE)}")
        if stage == "pgo" and self.has_policy:
            return self.chosen(GIVEN)
        fixed, chosen_by = BEFORE[stage]
        return fixed or self.chosen(chosen_by)

    @property
    def has_policy(self) -> bool:
        """Whether a policy was given, and judged."""
        return self.select("policy.json").exists()

    @property
    def stages(self) -> tuple:
        """The stages that this tree is made in."""
        return stages_of(self.has_policy)

    def built_stages(self) -> tuple:
        """Stages whose library exists."""
        return tuple(stage for stage in self.stages if self.library(stage).exists())


def training_counts(tree: Tree, stage: str, workloads) -> tuple:
    """(path, weight) of the training workloads' callgrind outputs of one stage."""
    return tuple((tree.counts(stage, row.name), row.weight) for row in workloads if row.role == "train")


def library_path(variant: str) -> Path:
    """Where `make all` builds the library of a variant by clang."""
    return Tree(paths.BUILD / f"clang-{variant}").library("base")


def variant_library(variant: str) -> Path:
    """The same, which must be there."""
    found = library_path(variant)
    if not found.exists():
        raise UserError(f"{found} is missing: run `make all`")
    return found


def build_tree(word: str) -> Path:
    """The type of the option --build: a build tree that is there."""
    if not Path(word).is_dir():
        raise UserError(f"there is no build tree {word}: `make pgo` makes one, build/<toolchain>-<variant>")
    return Path(word)
