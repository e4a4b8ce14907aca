"""Collects the documents of `documents.tsv` into a folder: `python fetch.py FOLDER`, run from the repository's root.

Debian packages come by apt-get, Python ones by pip, crates by cargo; their versions and the documents' hashes are
written beside them and compared with `documents.lock`, so that a figure made on other bytes says so.
"""

import csv
import glob
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

HERE = pathlib.Path(__file__).parent
FOLDER = pathlib.Path(sys.argv[1])
DOWNLOADS, UNPACKED, DOCUMENTS = (FOLDER / name for name in ("downloads", "unpacked", "documents"))


def run(*command, **options):
    return subprocess.run(command, check=True, **options)


def debian(package):
    """The folder of an unpacked Debian package."""
    folder = UNPACKED / package
    if not folder.exists():
        run("apt-get", "download", "--quiet", package, cwd=DOWNLOADS)
        (archive,) = DOWNLOADS.glob(f"{package}_*.deb")
        run("dpkg-deb", "--extract", archive, folder)
    return folder


def python(package):
    """The folder of an unpacked wheel."""
    folder = UNPACKED / package
    if not folder.exists():
        run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", DOWNLOADS, package)
        (archive,) = DOWNLOADS.glob(f"{package}-*.whl")
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
    return folder


def crates():
    """Cargo's folder of unpacked crates, with what `Cargo.lock` names."""
    run("cargo", "fetch", "--locked", "--quiet")
    home = pathlib.Path.home() / ".cargo"
    (folder,) = glob.glob(str(home / "registry/src/*"))
    return pathlib.Path(folder)


def word(page, target):
    """Makes a Word document of a web page, as there is no free collection of those."""
    import pypandoc

    os.environ["SOURCE_DATE_EPOCH"] = "946684800"  # else the time of day is part of the file
    pypandoc.convert_file(str(page), "docx", format="html", outputfile=str(target))


def fetch(source, path, registry):
    """Copies one document and returns its name."""
    kind, _, package = source.partition(":")
    if kind == "docx":
        _, package, path = path.split(":")
        page = debian(package) / path
        name = f"{page.parent.name}-{page.stem}.docx"
        word(page, DOCUMENTS / name)
        return name
    folder = {"deb": debian, "pypi": python}.get(kind, lambda _: registry if kind == "crate" else pathlib.Path("."))(package)
    found = folder / path
    parts = pathlib.PurePath(path).parts
    name = "-".join((parts[0],) + parts[-1:]) if kind == "crate" else parts[-1]
    if name.endswith(".gz"):
        name = name.removesuffix(".gz")
        (DOCUMENTS / name).write_bytes(gzip.decompress(found.read_bytes()))
    else:
        name = {"zone1970.tab": "zone1970.tsv"}.get(name, name)
        shutil.copyfile(found, DOCUMENTS / name)
    return name


def main():
    shutil.rmtree(DOCUMENTS, ignore_errors=True)
    for folder in (DOWNLOADS, UNPACKED, DOCUMENTS):
        folder.mkdir(parents=True, exist_ok=True)
    registry = crates()
    with open(HERE / "documents.tsv", encoding="utf-8", newline="") as rows:
        names = [fetch(row["source"], row["path"], registry) for row in csv.DictReader(rows, delimiter="\t")]
    assert len(names) == len(set(names)), "two documents share a name"
    found = {name: hashlib.sha256((DOCUMENTS / name).read_bytes()).hexdigest()[:16] for name in sorted(names)}
    lock = HERE / "documents.lock"
    if not lock.exists():
        lock.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    expected = json.loads(lock.read_text(encoding="utf-8"))
    for name, digest in found.items():
        if expected.get(name) != digest:
            print(f"{name} is not the one that the figures in docs/quality.md were made on", file=sys.stderr)
    print(f"{len(names)} documents, {sum((DOCUMENTS / name).stat().st_size for name in names)} bytes")


main()
