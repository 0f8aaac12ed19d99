"""tamper.py FOLDER OUT: copies of the backup FOLDER in OUT, each tampered with in another way."""

import pathlib
import shutil
import sys

STRANGER = "0f0e1d00-5eed-4f0e-9e00-00000000beef"


def main(folder, out):
    shutil.rmtree(out, ignore_errors=True)
    for name, tamper in {"whole": whole, "link": link, "stranger": stranger, "another": another, "truncated": truncated, "kind": kind}.items():
        copy = out / name / folder.name
        shutil.copytree(folder, copy)
        rows = [file for file in sorted(copy.rglob("*-nova_instance_purge.json")) if '"kind": "purge"' in file.read_text()]
        tamper(copy, rows[-1])


def whole(copy, file):
    pass


def link(copy, file):
    """A newer file that is none of the folder's own."""
    (copy.parent / "outside.json").write_bytes(file.read_bytes())
    file.with_name("20990101T000000.000000Z-nova_instance_purge.json").symlink_to(copy.parent / "outside.json")


def stranger(copy, file):
    """An allocation of another among the instance's own."""
    held = sorted(copy.rglob("*-placement_allocation.json"))[-1]
    theirs = held.parent.with_name(STRANGER) / held.name
    theirs.parent.mkdir()
    theirs.write_text(held.read_text().replace(held.parent.name, STRANGER))


def another(copy, file):
    file.write_text(file.read_text().replace(copy.name, STRANGER))


def truncated(copy, file):
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def kind(copy, file):
    file.write_text(file.read_text().replace('"kind": "purge"', '"kind": 1'))


main(*map(pathlib.Path, sys.argv[1:]))
