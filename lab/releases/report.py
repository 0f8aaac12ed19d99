"""report.py KEPT MADE FOLDER: whether the releases of Nova are still as this project has them, a line each; it fails where one is not.

KEPT and MADE are files of fixture.py's. FOLDER has an environment for each release. Of the places in Nova's sources that this
project's comments name, as in "nova/virt/node.py read_local_node_uuid", it tells which a release has, and which are other than
in the release before: whoever takes up a new release reads those.
"""
import ast
import bz2
import json
import pathlib
import re
import subprocess
import sys

kept, made = (json.loads(bz2.decompress(pathlib.Path(path).read_bytes())) for path in sys.argv[1:3])
environments = pathlib.Path(sys.argv[3])

# A name, and others after commas; words of a sentence are none.
NAMED = re.compile(r'\b(nova/[\w/]+\.py) (\w[\w.]*(?:, (?:\w*[_A-Z]\w*[\w.]*)(?!\.py))*)')


def named():
    """The places that the project's files name, as (file, name)."""
    files = subprocess.run(['git', 'ls-files', '-z', '*.go', '*.yml', '*.py', '*.j2'], capture_output=True, check=True, text=True)
    found = set()
    for file in files.stdout.split('\0')[:-1]:
        # A comment may go on in the next line.
        text = re.sub(r'\s*\n\s*(?://|#)?\s*', ' ', pathlib.Path(file).read_text())
        for path, names in NAMED.findall(text):
            found.update((path, name.rstrip('.')) for name in names.split(', '))
    return sorted(found)


def places(root, path):
    """What a file of a release defines, by name, without what is only said about it."""
    file = root / path
    found = {}
    if not file.exists():
        return found

    def walk(node, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                names = [child.name, prefix + child.name]
            elif isinstance(child, ast.Assign):
                names = [target.id for target in child.targets if isinstance(target, ast.Name)]
            elif isinstance(child, ast.Call) and child.args and isinstance(child.args[0], ast.Constant):
                names = [child.args[0].value]  # a configuration option
            else:
                names = []
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(child, clean=False) is not None:
                child.body = child.body[1:]
            for name in names:
                found.setdefault(name, ast.dump(child))
            walk(child, child.name + '.' if isinstance(child, ast.ClassDef) else prefix)

    walk(ast.parse(file.read_text()), '')
    return found


wanted = named()
failed, somewhere, before = [], set(), {}
print(f'{"release":8} {"Nova":8} {"rows":6} sources')
for release in sorted(made, key=lambda name: (name != 'zed', name)):
    root = next((environments / release).glob('lib/python*/site-packages'))
    has = {path: places(root, path) for path in {path for path, _ in wanted}}
    now = {(path, name): has[path][name] for path, name in wanted if name in has[path]}
    somewhere.update(now)
    changed = [f'{path.removeprefix("nova/")} {name}' for path, name in sorted(now) if before and before.get((path, name)) != now[path, name]]
    same = kept.get(release) == made[release]
    failed += [] if same else [f'Nova of {release} deletes otherwise than it is kept: make release-fixture RELEASE={release}, and read the difference']
    without = [f'{path.removeprefix("nova/")} {name}' for path, name in wanted if (path, name) not in now]
    print(f'{release:8} {made[release]["nova"]:8} {"same" if same else "OTHER":6} {len(now)} of {len(wanted)}'
          + (f', without {"; ".join(without)}' if without else '') + (f', {len(changed)} new or changed: {"; ".join(changed)}' if before else ''))
    before = now
failed += [f'no release has {path} {name}' for path, name in wanted if (path, name) not in somewhere]
for release in sorted(kept.keys() - made.keys()):
    failed.append(f'{release} was not made')
sys.exit('\n'.join(failed) or 0)
