"""Check that the innermost loops of the tiles keep everything in vector registers.

Tiles are written as arrays of vectors and short loops, because compilers can keep those in
registers.  Whether they did is read from the machine code: in each innermost loop that multiplies
and adds vectors, no vector register may be stored to the stack or loaded from it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
_WORK = re.compile(r"v(fn?m(add|sub)|pdpbusd|dpbf16ps|pmaddwd)\w*\s.*%[yz]mm")
_VECTOR = re.compile(r"%[xyz]mm")
_LINE = re.compile(r"^\s+([0-9a-f]+):\s+(\S.*)$")
_JUMP = re.compile(r"^j\w+\s+([0-9a-f]+)\b")


@dataclass(frozen=True)
class Loop:
    """An innermost loop: the instructions from its head to the jump back."""

    function: str
    address: int
    code: tuple[str, ...]
    frame: bool  # whether the function keeps its stack frame in %rbp

    @property
    def works(self) -> bool:
        """Whether it multiplies and adds vectors."""
        return any(_WORK.match(instruction) for instruction in self.code)

    @property
    def spills(self) -> list[str]:
        """Instructions between a vector register and the stack.

        A broadcast reads one number, which may well lie there.
        """
        places = ("(%rsp", "(%rbp") if self.frame else ("(%rsp",)
        return [
            instruction
            for instruction in self.code
            if any(place in instruction for place in places)
            and _VECTOR.search(instruction)
            and not instruction.startswith("vbroadcast")
        ]


def innermost(disassembly: str) -> Iterator[Loop]:
    """Yield the innermost loops of every function."""
    for part in re.split(r"\n(?=[0-9a-f]+ <)", disassembly):
        heading = re.match(r"[0-9a-f]+ <([^>]+)>:", part)
        if heading is None:
            continue
        found = [m for m in map(_LINE.match, part.splitlines()) if m]
        code = {int(m[1], 16): " ".join(m[2].split()) for m in found}
        frame = any(text == "mov %rsp,%rbp" for text in code.values())
        loops = natural_loops(code)
        for head, body in loops:
            if not any(other < body for _, other in loops):
                yield Loop(heading[1], head, tuple(code[a] for a in sorted(body)), frame)


def natural_loops(code: dict[int, str]) -> list[tuple[int, frozenset[int]]]:
    """Return head and body of every loop: what leads to a jump back without passing its target.

    A jump back to where its code does not come from alone (it was moved out of line) makes no loop.
    """
    order = sorted(code)
    before: dict[int, list[int]] = {address: [] for address in order}
    backward = []
    for address, following in zip(order, [*order[1:], 0], strict=True):
        text = code[address]
        jump = _JUMP.match(text)
        target = int(jump[1], 16) if jump else 0
        if target in before:
            before[target].append(address)
            if target <= address:
                backward.append((target, address))
        if following and not text.startswith(("jmp", "ret")):
            before[following].append(address)
    loops = []
    for head, last in backward:
        body, todo = {head}, [last]
        while todo:
            address = todo.pop()
            if address not in body:
                body.add(address)
                todo += before[address]
        if order[0] not in body or head == order[0]:
            loops.append((head, frozenset(body)))
    return loops


def build_module() -> ModuleType:
    """Import libcore/build.py, for its flags."""
    path = ROOT / "libcore/build.py"
    spec = importlib.util.spec_from_file_location("libcore_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Return 1 if a loop spills."""
    build = build_module()
    if not build.X86:
        print("spills: only x86-64 has tiles to look at")
        return 0
    sources = sorted(p for p in (ROOT / "libcore/src").rglob("tile_*.c") if build.flags_of(p))
    compiler = os.environ.get("CC", "cc").split()
    include = [f"-I{ROOT / 'libcore/include'}", f"-I{ROOT / 'libcore/src'}"]
    loops, problems = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for source in sources:
            made = str(Path(folder) / "tile.o")
            flags = [*build.COMMON, *build.flags_of(source), *include]
            subprocess.run([*compiler, *flags, "-c", str(source), "-o", made], check=True)
            command = ["objdump", "-d", "--no-show-raw-insn", made]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for loop in innermost(text):
                loops += loop.works
                if loop.works and loop.spills:
                    problems += 1
                    where = f"{source.relative_to(ROOT)}: {loop.function}+{loop.address:#x}"
                    print(f"{where}: {len(loop.spills)} spills, as in {loop.spills[0]}")
    print(f"spills: {len(sources)} tiles, {loops} innermost loops, {problems} with spills")
    return bool(problems) or not loops


if __name__ == "__main__":
    sys.exit(main())
