"""tamper.py FOLDER OUT: copies of the backup FOLDER in OUT, each tampered with in another way."""

import json
import pathlib
import shutil
import sys


def main(folder, out):
    shutil.rmtree(out, ignore_errors=True)
    for name, tamper in {"whole": whole, "path": path, "file": file, "another": another, "truncated": truncated}.items():
        copy = out / name / folder.name
        shutil.copytree(folder, copy)
        manifest = json.loads((copy / "restore.json").read_text())
        tamper(copy, next(step for step in manifest["restore"] if step["module"] == "nova_instance_purge"))
        manifest["restore"] = sorted(manifest["restore"], key=lambda step: step["module"])
        (copy / "restore.json").write_text(json.dumps(manifest))


def whole(copy, step):
    pass


def path(copy, step):
    step["path"] = "/etc/cron.d/lab-tampered"


def file(copy, step):
    (copy.parent / "outside.json").write_bytes((copy / step["file"]).read_bytes())
    step["file"] = "../outside.json"


def another(copy, step):
    text = (copy / step["file"]).read_text()
    (copy / step["file"]).write_text(text.replace(copy.name, "0f0e1d00-5eed-4f0e-9e00-00000000beef"))


def truncated(copy, step):
    data = (copy / step["file"]).read_bytes()
    (copy / step["file"]).write_bytes(data[: len(data) // 2])


main(*map(pathlib.Path, sys.argv[1:]))
