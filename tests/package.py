"""Build the wheel and the source distribution, and try each in an empty environment.

    tox -e package

The distributions stay in the folder that is given as the argument, `dist` by default.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 300

IN_THE_WHEEL = {"chatify_stream/py.typed", "chatify_stream/messages/descriptors.binpb"}
IN_THE_SDIST = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "README.zh-CN.md",
    "chatify_stream",
    "docs",
    "examples",
    "proto",
    "pyproject.toml",
    "tests",
    "tox.ini",
}
WRITTEN_BY_TOOLS = {".gitignore", "PKG-INFO"}
METADATA = (
    *("Name", "Version", "Summary", "License-Expression", "Requires-Python"),
    *("Description-Content-Type", "Classifier", "Keywords"),
)


def run(*args: str | Path) -> str:
    """Run a command and return its output. Raises `SystemExit` if it fails."""
    ran = subprocess.run(args, capture_output=True, text=True, timeout=SECONDS, cwd=ROOT)
    if ran.returncode != 0:
        sys.exit(
            f"{' '.join(map(str, args))}: exit status {ran.returncode}\n{ran.stdout}{ran.stderr}"
        )
    return ran.stdout


def check(condition: object, problem: str) -> None:
    if not condition:
        sys.exit(f"package: {problem}")


def check_wheel(wheel: Path) -> None:
    """Check the name, the contents and the metadata of the wheel."""
    check(wheel.name.endswith("-py3-none-any.whl"), f"{wheel.name} is not for any platform")
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    check(names, f"{wheel.name} is empty")
    missing = IN_THE_WHEEL - set(names)
    check(not missing, f"{wheel.name} lacks {sorted(missing)}")
    check(any(name.endswith("/licenses/LICENSE") for name in names), f"{wheel.name} has no license")
    tops = {name.split("/")[0].split("-")[0] for name in names}
    check(tops == {"chatify_stream"}, f"{wheel.name} installs {sorted(tops)}")
    [metadata] = [name for name in names if name.endswith(".dist-info/METADATA")]
    headers = Parser().parsestr(archive.read(metadata).decode())
    lacking = [field for field in METADATA if not headers[field]]
    check(not lacking, f"{wheel.name} has no {', '.join(lacking)} in its metadata")
    source = (ROOT / "chatify_stream" / "_version.py").read_text(encoding="utf-8")
    check(f'"{headers["Version"]}"' in source, "the version differs from _version.py")


def check_sdist(sdist: Path) -> None:
    """Check that the source distribution has the project, and nothing of a working copy."""
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    tops = {name.split("/")[0] for name in names if name} - WRITTEN_BY_TOOLS
    check(tops == IN_THE_SDIST, f"{sdist.name}: {sorted(tops ^ IN_THE_SDIST)} not as expected")
    stray = [name for name in names if re.search(r"__pycache__|\.py[cd]$|\.so$|_build/", name)]
    check(not stray, f"{sdist.name} has {stray[:5]}")


def smoke_test(distribution: Path, folder: Path) -> None:
    """Install the distribution in an empty environment, serve, and send one message."""
    venv.create(folder, with_pip=True)
    scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
    run(scripts / "python", "-m", "pip", "install", "--quiet", f"{distribution}[all]")
    command = scripts / "chatify-stream"
    version = run(command, "--version")
    check(distribution.name.split("-")[1].removesuffix(".tar.gz") in version, f"{version} is wrong")
    server = subprocess.Popen(
        [command, "serve", "--host", "127.0.0.1", "--port", "0", "--log-level", "warning"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().removeprefix("listening on ").strip()
        reply = run(command, "send", "--target", address, "--timeout", "30", "Ada").strip()
        check(reply == "Hello Ada", f"the installed server answered {reply!r}")
        server.send_signal(signal.SIGTERM)
        check(server.wait(SECONDS) == 0, "the installed server did not stop with status 0")
    finally:
        server.kill()
        server.wait()


def main(destination: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        built = Path(temporary, "dist")
        run(sys.executable, "-m", "build", "--outdir", built, ROOT)
        [wheel], [sdist] = built.glob("*.whl"), built.glob("*.tar.gz")
        run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
        check_wheel(wheel)
        check_sdist(sdist)
        for distribution in (wheel, sdist):
            smoke_test(distribution, Path(temporary, f"venv-{distribution.suffix}"))
            destination.mkdir(exist_ok=True)
            copy = destination / distribution.name
            copy.write_bytes(distribution.read_bytes())
            print(copy)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist")
