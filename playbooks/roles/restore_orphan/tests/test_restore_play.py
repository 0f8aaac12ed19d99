"""The restore's play, with stand-ins for the modules, on the oldest and the newest ansible-core: which files each module gets, and what is refused.

Whatever the modules decide is tested with them, and that they do what they say by the scenarios. Run by `make play-test`."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parents[4]
CORES = [ROOT / ".cache" / core / "bin" for core in ("oldest", "newest")]
FIRST, SECOND, MIGRATION, OTHER = ("%08d-0000-4000-8000-000000000000" % n for n in range(1, 5))
MODULES = ROWS, ALLOCATION, DOMAIN = ["nova_instance_purge", "placement_allocation", "libvirt_undefine"]

STAND_IN = """#!{python}
# WANT_JSON
import json, pathlib, sys
name, given = next(n for n in {names!r} if n in sys.argv[0]), json.load(open(sys.argv[1]))
sys.path.insert(0, {tests!r})
import test_restore_play
print(json.dumps(test_restore_play.answer(name, given, pathlib.Path({folder!r}))))
"""


def answer(name, given, folder):
    """What the stand-in of a module says; scene.json has by "MODULE" or "MODULE check" whom it refuses and why, and what Nova has."""
    scene = json.loads((folder / "scene.json").read_text())
    check = given.get("_ansible_check_mode", False)
    asked = given.get("uuid") or given.get("instance_uuid") or list(given["backup_content"])
    if "state" not in given:
        return {"changed": True, "instances": [{"instance_uuid": uuid, "verdict": scene.get("verdict", "deleted"), "instance": {
            "uuid": uuid, "name": "{{ lookup('pipe', 'touch %s/mark') }}" % folder, "migrations": [{"uuid": MIGRATION}] if uuid == FIRST else []}}
            for uuid in asked]}
    contents = {uuid: base64.b64decode(content).decode() for uuid, content in given["backup_content"].items()}
    with (folder / "calls").open("a") as calls:
        calls.write(json.dumps([name, check, given["backup_dir"], given.get("nova_conf") or given.get("uri"), given["state"], asked, contents]) + "\n")
    failing = scene.get(name + (" check" if check else ""), {})
    key, entries = {ROWS: ("instance_uuid", "instances"), ALLOCATION: ("consumer", "consumers"), DOMAIN: ("uuid", "domains")}[name]
    of_each = [{key: uuid, "changed": uuid not in failing, "failed": uuid in failing, "msg": failing.get(uuid, "{{ back }}"), "lost": []} for uuid in asked]
    failed = "; ".join(f"{uuid}: {failing[uuid]}" for uuid in asked if uuid in failing)
    return {"changed": True, "failed": bool(failed), "msg": failed, entries: of_each, "warnings": [f"{name} warns"]}


def named(module, second=0, instance=FIRST, host="controller", consumer=""):
    return f"{instance}/{host}/{consumer or instance}/20260101T0000{second:02}.000000Z-{module}.json"


def written(module, kind="purge", **more):
    """A backup, and what a user has chosen in it."""
    name = named(module, **more)
    return {name: json.dumps({"format": 1, "kind": kind, "data": "{{ lookup('pipe', 'touch MARK') }} {%% raw %%} \u00e4 %s" % name}, indent=2, ensure_ascii=False)}


class Play(unittest.TestCase):
    def play(self, core, files, scene, backup, *arguments):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name).resolve()
            (folder / "lib").mkdir()
            for module in MODULES:
                path = folder / "lib" / module
                path.write_text(STAND_IN.format(python=sys.executable, names=MODULES, tests=str(pathlib.Path(__file__).parent), folder=name))
                path.chmod(0o700)
            (folder / "scene.json").write_text(json.dumps(scene))
            for path, content in files.items():
                (folder / "copies" / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / "copies" / path).write_text(content.replace("MARK", name + "/mark") + "\n")
                run_folder = folder / "copies" / "RUN"
                run_folder.mkdir(exist_ok=True)
                if not (run_folder / path.split("/")[0]).is_symlink():
                    (run_folder / path.split("/")[0]).symlink_to("../" + path.split("/")[0])
            # Without the modules that are built beside it.
            shutil.copytree(ROOT / "playbooks", folder / "playbooks", ignore=shutil.ignore_patterns("library"))
            (folder / "calls").touch()
            hosts = {host: {"purge_orphan_backup_dir": "/on/" + host} for host in ("compute1", "compute2")}
            (folder / "inventory.yml").write_text(json.dumps({"all": {"vars": {
                "ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable},
                "children": {"controllers": {"hosts": {"controller": {}}}, "compute": {"hosts": hosts}}}}))
            run = subprocess.run(
                [core / "ansible-playbook", "-i", folder / "inventory.yml", folder / "playbooks" / "restore_orphan.yml",
                 "-e", f"backup={folder}/copies/{backup}", *arguments],
                env={**os.environ, "ANSIBLE_LIBRARY": name + "/lib", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_BECOME_ASK_PASS": "0",
                     "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}, capture_output=True, text=True, timeout=300, check=False)
            # Text that others chose is never a template.
            self.assertFalse((folder / "mark").exists())
            calls = [json.loads(line.replace(name + "/mark", "MARK")) for line in (folder / "calls").read_text().splitlines()]
        return run, calls

    def each(self, files, backup="RUN", *arguments, scene=None):
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda core: self.play(core, files, scene or {}, backup, *arguments), CORES))

    def refused(self, said, *arguments, **more):
        for run, calls in self.each(*arguments, **more):
            self.assertEqual(2, run.returncode, run.stdout[-3000:])
            self.assertIn(said, run.stdout)
            self.assertIn('"  nothing"', run.stdout)
            self.assertEqual([], calls)

    # Of the first its domain is on two hosts, its rows were purged twice, and its migration's allocation was saved; of the second the domain was reaped.
    BACK = {**written(ROWS, second=1), **written(ALLOCATION, second=2), **written(ALLOCATION, "saved", second=2, consumer=MIGRATION),
            **written(DOMAIN, second=3, host="compute1"), **written(DOMAIN, second=4, host="compute2"),
            **written(ROWS, second=5, instance=SECOND), **written(ALLOCATION, second=6, instance=SECOND)}
    RUN = {**BACK, **written(ROWS), **written(DOMAIN, "definition", second=3, instance=SECOND, host="compute2"),
           **written(DOMAIN, "definition", instance=SECOND, host="compute2"), **written(ROWS, "restoring", second=9, host="controller2")}

    def calls(self, check):
        def call(module, where, service, *names):
            contents = {name.split("/")[2]: self.BACK[name] for name in names}
            return [module, check, where, service, "present", list(contents), contents]
        return [call(ROWS, "/var/backups/nova-orphan", "auto", named(ROWS, 1), named(ROWS, 5, SECOND)),
                call(ALLOCATION, "/var/backups/nova-orphan", "auto", named(ALLOCATION, 2), named(ALLOCATION, 2, consumer=MIGRATION),
                     named(ALLOCATION, 6, SECOND)),
                call(DOMAIN, "/on/compute1", "qemu:///system", named(DOMAIN, 3, host="compute1")),
                call(DOMAIN, "/on/compute2", "qemu:///system", named(DOMAIN, 4, host="compute2"))]

    def test_each_module_gets_of_a_run_what_it_is_to_put_back_and_is_asked_before(self):
        for run, calls in self.each(self.RUN):
            self.assertEqual(0, run.returncode, run.stdout[-3000:])
            self.assertEqual(self.calls(True) + self.calls(False), calls)
            self.assertRegex(run.stdout, r"controller +: ok=\d+ +changed=3 ")
            for line in ("Instance " + FIRST, "Instance " + SECOND, "  nova_instance_purge: {{ back }}", "  placement_allocation warns",
                         f"compute2 -b -m libvirt_undefine -a 'uuid={SECOND} state=present backup_file=/var/backups/nova-orphan/{SECOND}/"
                         f"20260101T000003.000000Z-{DOMAIN}.json'"):
                self.assertIn(line, run.stdout)

    def test_a_check_only_asks(self):
        for run, calls in self.each(self.RUN, "RUN", "--check"):
            self.assertEqual(0, run.returncode, run.stdout[-3000:])
            self.assertEqual(self.calls(True), calls)
            self.assertIn("WOULD COME BACK", run.stdout)

    def test_of_an_instances_folder_comes_back_what_is_its_own(self):
        for run, calls in self.each(self.RUN, SECOND, "--check"):
            self.assertEqual(0, run.returncode, run.stdout[-3000:])
            self.assertEqual([(ROWS, [SECOND]), (ALLOCATION, [SECOND])], [(call[0], list(call[-1])) for call in calls])
            self.assertNotIn(FIRST, run.stdout)

    def test_domains_may_be_left_out(self):
        for run, calls in self.each({**self.RUN, **written(DOMAIN, host="lost")}, "RUN", "-e", "restore_orphan_domain=false", "--check"):
            self.assertEqual(0, run.returncode, run.stdout[-3000:])
            self.assertEqual([ROWS, ALLOCATION], [call[0] for call in calls])
            self.assertIn("  the domain, since restore_orphan_domain is false", run.stdout)

    def test_what_was_saved_comes_back_to_an_instance_that_lives_and_is_told_else(self):
        files = written(ALLOCATION, "saved", consumer=MIGRATION)
        for verdict in ("zombie", "deleted"):
            for run, calls in self.each(files, "RUN", "--check", scene={"verdict": verdict}):
                self.assertEqual(0, run.returncode, run.stdout[-3000:])
                self.assertEqual([{MIGRATION: files[named(ALLOCATION, consumer=MIGRATION)]}] if verdict == "zombie" else [], [call[-1] for call in calls])
                self.assertEqual(verdict == "deleted", f"backup_file=/var/backups/nova-orphan/{MIGRATION}/20260101T000000.000000Z-" in run.stdout)

    def test_what_cannot_be_restored_is_refused_before_anything_is_read_or_changed(self):
        begin = "Want what can be restored: Nothing was read or changed on any host: "
        many = "2 instances: say -e max_instances=2"
        for backup in ("missing", "RUN", FIRST):
            self.refused(f"/copies/{backup} has no backups: it takes the folder of an instance or of a run that purge_orphan.yml made",
                         {FIRST + "/x": ""}, backup)
        self.refused(begin + many, self.RUN, "RUN", "-e", "max_instances=1")
        self.refused(f"{begin}lost not in the inventory: add it, or leave domains out: -e restore_orphan_domain=false; {many}",
                     {**self.RUN, **written(DOMAIN, host="lost")}, "RUN", "-e", "max_instances=1")
        self.refused(f"{begin}{named(ROWS, 10)} does not say what kind of backup it is", {**self.RUN, **written(ROWS, "1", second=10)}, FIRST)

    def test_a_file_of_another_is_refused_before_anything_is_changed(self):
        self.refused("Want every backup to be its instance's, or one of that's migrations': Nothing was changed: "
                     f"{named(ROWS, consumer=OTHER)}, {named(ALLOCATION, 1, consumer=OTHER)} would put back what is of another than its instance and migrations",
                     {**self.RUN, **written(ROWS, consumer=OTHER), **written(ALLOCATION, second=1, consumer=OTHER)}, "RUN")

    def test_a_variable_that_does_not_exist_is_refused(self):
        for run, calls in self.each(self.RUN, "RUN", "-e", "restore_orphan_domains=false"):
            self.assertEqual(2, run.returncode, run.stdout[-3000:])
            self.assertIn("No variable of a restore: restore_orphan_domains. Nothing was read or changed. The role's defaults/main.yml lists them all.",
                          run.stdout)
            self.assertEqual([], calls)

    def test_an_instance_that_nova_does_not_tell_of_stops_it(self):
        self.refused("Read what Nova has of the instances: ", self.RUN, "RUN", scene={"verdict": "unknown"})

    def test_what_a_module_fails_at_is_told_with_its_files(self):
        for module, host, wanted in ((ROWS, "controller", named(ROWS, 5, SECOND)), (ALLOCATION, "controller", named(ALLOCATION, 6, SECOND)),
                                     (DOMAIN, "compute1", f"{named(DOMAIN, 3, host='compute1')}, {named(DOMAIN, 4, host='compute2')}")):
            uuid = wanted.split("/")[0]
            for when in (" check", ""):
                for run, calls in self.each(self.RUN, "RUN", scene={module + when: {uuid: "{{ no }}"}}):
                    self.assertEqual(2, run.returncode, run.stdout[-3000:])
                    self.assertIn(f"{uuid}: {{{{ no }}}}", run.stdout)
                    self.assertIn(f" ({wanted})", run.stdout)
                    self.assertEqual(bool(when), not [call for call in calls if not call[1]])
                    self.assertEqual(not when, "  nova_instance_purge: {{ back }}" in run.stdout)


if __name__ == "__main__":
    unittest.main()
