"""The build tree of one configuration, build/<toolchain>-<variant>: what each tool reads and writes is named here."""

from dataclasses import dataclass
from pathlib import Path

from common import files
from common.errors import UserError

STAGES = ("base", "pgo", "layout", "bolt")
BEFORE = {"pgo": ("base", None), "layout": (None, "compile"), "bolt": (None, "layout")}


@dataclass(frozen=True)
class Tree:
    """Paths below one build directory."""
    root: Path

    @property
    def label(self) -> str:
        return self.root.name

    def library(self, stage: str) -> Path:
        return self.root / stage / "libhakmem.so"

    def measure(self, stage: str, workload: str) -> Path:
        return self.root / "measure" / stage / f"{workload}.json"

    def profile(self, stage: str, workload: str) -> Path:
        return self.root / "measure" / stage / f"{workload}.cg.gz"

    def golden(self, stage: str) -> Path:
        return self.root / "golden" / f"{stage}.json"

    def gate(self, stage: str) -> Path:
        return self.root / "gate" / f"{stage}.json"

    def select(self, name: str) -> Path:
        return self.root / "select" / name

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
        fixed, chosen_by = BEFORE[stage]
        return fixed or self.chosen(chosen_by)

    def built_stages(self) -> tuple:
        """Stages whose library exists."""
        return tuple(stage for stage in STAGES if self.library(stage).exists())


def profiles(tree: Tree, stage: str, workloads) -> tuple:
    """(path, weight) of the training workloads' callgrind outputs of one stage."""
    return tuple((tree.profile(stage, row.name), row.weight) for row in workloads if row.role == "train")
