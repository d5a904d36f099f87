"""Makes the lock files and the bill of materials: `make lock`, after a change of constraints.txt or pyproject.toml.

    etc/lock/run.txt    what a node needs, the embedded PostgreSQL and what builds the package included
    etc/lock/dev.txt    that, and what tests and checks need
    etc/lock/bench.txt  that, and what is measured beside it
    etc/sbom.cdx.json   the same as run.txt, as CycloneDX

Each version has the hashes of all its files, for every Python and machine, so pip takes no other file from whatever
index (`--require-hashes`). Needs `uv` (pip install uv) and asks the index for these versions only. Says which versions
constraints.txt lacks: write them there.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ETC = Path(__file__).parent
EXTRAS = {"run": ["embedded"], "dev": ["embedded", "test", "check"], "bench": ["embedded", "test", "check", "bench"]}
BUILD = ["pip", "setuptools", "hatchling", "editables"]
"""Of the virtual environment itself, and of `pip install --no-build-isolation`."""

Pins = dict[str, tuple[str, list[str]]]
"""Name -> (version, hashes `sha256:…`)."""


def read(path: Path) -> Pins:
    """A lock file, with those that it names."""
    text = path.read_text()
    found: Pins = {}
    for other in re.findall(r"^-r (\S+)$", text, re.MULTILINE):
        found |= read(path.parent / other)
    for name, version, rest in re.findall(r"^([\w.-]+)==(\S+) \\\n((?: +--hash=\S+(?: \\)?\n)+)", text, re.MULTILINE):
        found[canonical(name)] = (version, re.findall(r"--hash=(\S+)", rest))
    return found


def read_constraints() -> dict[str, str]:
    """Name -> version, as constraints.txt says."""
    return {
        canonical(name): version
        for name, version in re.findall(r"^([\w.-]+)==(\S+)$", (ETC / "constraints.txt").read_text(), re.M)
    }


def canonical(name: str) -> str:
    """As PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def compile_lock(extras: list[str]) -> Pins:
    """What the index has of the constrained versions. What only Windows needs is left out."""
    with tempfile.TemporaryDirectory() as directory:
        build, target = Path(directory) / "build.in", Path(directory) / "lock.txt"
        build.write_text("\n".join(BUILD))
        command = [shutil.which("uv") or "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
        command += ["--generate-hashes", "--no-header", "--no-annotate"]
        command += [part for extra in extras for part in ("--extra", extra)]
        command += [
            "-c",
            str(ETC / "constraints.txt"),
            "-o",
            str(target),
            str(ETC.parent / "pyproject.toml"),
            str(build),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 (a tool of ours)
        # Windows' keep their marker, and `read` does not know them.
        target.write_text(re.sub(r" ; (?!.*win32).*? \\$", r" \\", target.read_text(), flags=re.MULTILINE))
        return read(target)


def lines(pins: Pins) -> str:
    """As a lock file says it."""
    return "".join(
        f"{name}=={version} \\\n" + " \\\n".join(f"    --hash={one}" for one in sorted(hashes)) + "\n"
        for name, (version, hashes) in sorted(pins.items())
    )


def bill(pins: Pins, version: str) -> str:
    """CycloneDX 1.6 of what a node is made of."""
    root = {
        "type": "application",
        "bom-ref": "mmnode",
        "name": "mmnode",
        "version": version,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    parts = [
        (name, of, f"pkg:pypi/{name}@{of}")
        for name, (of, _) in sorted(pins.items())
        if name not in ("pip", "setuptools")
    ]
    components = [
        {"type": "library", "bom-ref": purl, "name": name, "version": of, "purl": purl} for name, of, purl in parts
    ]
    whole = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": root},
        "components": components,
        "dependencies": [{"ref": "mmnode", "dependsOn": [purl for _, _, purl in parts]}],
    }
    return json.dumps(whole, indent=1) + "\n"


def own_version() -> str:
    """Of the package."""
    found: list[str] = re.findall(r'^version = "(.+)"$', (ETC.parent / "pyproject.toml").read_text(), re.MULTILINE)
    return found[0]


def main() -> int:
    """Write all files; 1 when constraints.txt does not name every version."""
    pinned: Pins = {}
    for name, extras in EXTRAS.items():
        found = compile_lock(extras)
        before = f"-r {list(EXTRAS)[list(EXTRAS).index(name) - 1]}.txt\n" if pinned else ""
        text = before + lines({one: pin for one, pin in found.items() if one not in pinned})
        (ETC / "lock" / f"{name}.txt").write_text("# By etc/lock.py from constraints.txt.\n" + text)
        if name == "run":
            (ETC / "sbom.cdx.json").write_text(bill(found, own_version()))
        pinned |= found
    known = read_constraints()
    missing = sorted(f"{name}=={version}" for name, (version, _) in pinned.items() if known.get(name) != version)
    if missing:
        print("constraints.txt lacks:", *missing, sep="\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
