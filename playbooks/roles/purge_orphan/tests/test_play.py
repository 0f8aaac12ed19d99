"""The play itself, with stand-ins for the modules, on the oldest and the newest ansible-core: what goes on after a step has failed, and for whom.

Whatever the modules decide is tested with them, and that they do what they say by the scenarios. Run by `make play-test`."""

import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parents[4]
CORES = [ROOT / ".cache" / core / "bin" for core in ("oldest", "newest")]
UUIDS = ["%08d-0000-4000-8000-000000000000" % n for n in range(1, 10)]
FIRST, SECOND = UUIDS[:2]

STAND_IN = """#!{python}
# WANT_JSON
import json, pathlib, sys
name, given = pathlib.Path(sys.argv[0]).name, json.load(open(sys.argv[1]))
name = next(n for n in {names!r} if n in sys.argv[0])
check = given.get("_ansible_check_mode", False)
sys.path.insert(0, {tests!r})
import test_play
print(json.dumps(test_play.answer(name, given, check, pathlib.Path({folder!r}))))
"""


def listed(value):
    if isinstance(value, str):
        return json.loads(value.replace("'", '"')) if value.startswith("[") else [value]
    return value


def entries(key, uuids, failing, **more):
    of_each = [dict({key: uuid, "changed": False, "failed": uuid in failing, "msg": failing.get(uuid, ""), "verdict": "zombie", "reasons": [],
                     "plan": [], "backup_file": ""}, **more) for uuid in uuids]
    return {"changed": any(e["changed"] for e in of_each), "failed": bool(failing)}, of_each


def instance(uuid, verdict="zombie", **more):
    return dict({"asked": uuid, "uuid": uuid, "name": "web", "project_id": "p", "kind": "error", "verdict": verdict, "reasons": [], "refusals": [], "left": [],
                 "instance": {"updated_at": "2026-01-01T00:00:00Z", "vm_state": "error", "task_state": "", "host": "compute1"},
                 "cell": {"uuid": "c", "name": "cell1"}, "mapped": True, "consumers": [uuid], "unasked": [], "remains": [], "plan": [], "keeps": [],
                 "hosts": [{"host": "compute1", "nova_host": "compute1", "hypervisor_hostname": "compute1", "named_by": ["row"],
                            "domain": "instance-1", "state": "shutoff"}]}, **more)


def answer(name, given, check, folder):
    """What the stand-in of a module says; scene.json has the instances, and by "MODULE" or "MODULE check" whom it refuses and why."""
    scene = json.loads((folder / "scene.json").read_text())
    what = given.get("state", "put back" if "backup_file" in given else "forced_down" if "forced_down" in given else "")
    with (folder / "calls").open("a") as calls:
        calls.write(json.dumps([name, check, what]) + "\n")
    failing = scene.get(name + (" check" if check else ""), {})
    if failing == "crash":
        return {"failed": True, "msg": "it was killed"}
    if name == "libvirt_domain_info":
        # Asked for these instances alone, it is to tell which of their guests run at this moment.
        now = scene.get("guests", {}) if given.get("uuid") else {}
        return dict({"changed": False, "hypervisor_hostname": "h", "domains": [], "instance_files": [], "unread": []}, **now)
    if name == "nova_orphan_info":
        after = (folder / "calls").read_text().count('"nova_orphan_info"') > 1
        found = [dict(i, verdict="deleted", remains=scene.get("remains", []), left=scene.get("left", {}).get(i["uuid"], [])) if after else i for i in scene["instances"]]
        return {"changed": False, "instances": found, "findings": [], "unread": [], "table": [], "taken_at": "t", "unknown": [],
                "nova_manage": scene.get("nova_manage", [])}
    if name == "nova_compute_service":
        hosts = listed(given["host"]) if "host" in given else []
        # What comes to the host after the preflight has looked.
        later = '["placement_allocation", false' in (folder / "calls").read_text()
        service = {"state": "up", "forced_down": False, "updated_at": "then"}
        if given.get("wait_for_report") in (True, "True") and scene.get("silent"):
            return {"changed": False, "failed": True, "msg": "nova-compute has not reported", "services": []}
        entry = {"failed": False, "in_progress": [], "service": service, "backup_file": ""}
        if not later or not scene.get("no_answer"):
            entry["restart"] = {"silent": "", "busy": scene.get("busy", "") if later else ""}
        if what == "forced_down":
            entry["backup_file"] = "/backup"
        if what == "put back" and (folder / "calls").read_text().count('"put back"') <= scene.get("not_put_back", 0):
            entry.update(failed=True, msg="Nova's API does not answer")
        return {"changed": bool(what), "failed": entry["failed"], "left_forced_down": [], "services": [dict(entry, host=h) for h in hosts]}
    if name == "nova_compute_restart":
        left = listed(given.get("reap", []))
        if failing:
            return {"changed": False, "failed": True, "msg": failing, "left": left}
        if given.get("state") == "reaped" and scene.get("cut_off"):
            return {"changed": False, "msg": "the connection was cut"}
        if given.get("state") == "reaped":
            return {"changed": False, "left": [], "complained": scene.get("complained", []), "log_rotated": False}
        objections = listed(given.get("objections", []))
        changed = bool(left + listed(given.get("resume", [])))
        if changed and objections:
            return {"changed": False, "failed": True, "msg": "; ".join(objections), "left": left}
        return {"changed": changed, "left": left, "service": "nova-compute", "log": scene.get("log", "/l"), "log_end": "/l@1+1", "starts": [], "unread": []}
    key = {"libvirt_undefine": "uuid", "placement_allocation": "consumer"}.get(name, "instance_uuid")
    more = {}
    if name == "libvirt_undefine":
        done = '["libvirt_undefine", false, "absent"]' in (folder / "calls").read_text()
        more = {"found": True, "domain": {"name": "instance-1", "active": False, "disks": []}, "files": [{"source": "/stays", "exists": True}],
                "images": [{"source": "rbd:vms/goes", "exists": not done}, {"source": "rbd:vms/silent"}]}
        # As the module: more watchers than domains that run, of which one is here.
        failing.update({uuid: "has %d watchers" % n for uuid, n in scene.get("watchers", {}).items()
                        if listed(given["rbd"]) and n > 1 + listed(given.get("running_elsewhere", [])).count(uuid)})
    if name == "nova_instance_delete":
        more = {"server": None, "server_before": None, "tries": [{"method": m, "outcome": scene.get("api", "gone"), "msg": "{{ said }}"}
                                                                 for m in listed(given["methods"])[:1]]}
    if name == "nova_instance_purge":
        calls = (folder / "calls").read_text()
        gone = not check or '["nova_instance_delete", false' in calls and scene.get("api", "gone") == "gone"
        more = {"instance": None, "reap": None, "mapped": True, "verdict": "deleted" if gone else scene["instances"][0]["verdict"]}
    if name == "nova_volume_release":
        more = {"volumes": [], "ports": [], "remains": []}
    whole, of_each = entries(key, listed(given[key]), failing, **more)
    for entry in of_each:
        entry["changed"] = not entry["failed"] and given.get("state", "absent") == "absent"
    whole["changed"] = any(entry["changed"] for entry in of_each)
    return dict(whole, **{{"uuid": "domains", "consumer": "consumers"}.get(key, "instances"): of_each})


MODULES = ["nova_orphan_info", "libvirt_domain_info", "nova_instance_delete", "nova_compute_service", "nova_compute_restart", "nova_volume_release",
           "nova_instance_purge", "placement_allocation", "libvirt_undefine"]


class Play(unittest.TestCase):
    def play(self, core, scene, *arguments):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "lib").mkdir()
            for module in MODULES:
                path = folder / "lib" / module
                path.write_text(STAND_IN.format(python=sys.executable, names=MODULES, tests=str(pathlib.Path(__file__).parent), folder=name))
                path.chmod(path.stat().st_mode | stat.S_IXUSR)
            (folder / "scene.json").write_text(json.dumps(scene))
            # Without the modules that are built beside it.
            shutil.copytree(ROOT / "playbooks", folder / "playbooks", ignore=shutil.ignore_patterns("library"))
            (folder / "calls").touch()
            (folder / "inventory.yml").write_text(json.dumps({"all": {"vars": {
                "ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable,
                "purge_orphan_rbd": [],
                "purge_orphan_restart_compute": False, "purge_orphan_backup_dir": name + "/backups", "purge_orphan_backup_copy": "{{ inventory_dir }}/copies",
                "purge_orphan_report_dir": name + "/report"},
                "children": {"controllers": {"hosts": {"controller": {}}}, "compute": {"hosts": {"compute1": {}, "compute2": {}}}}}}))
            run = subprocess.run(
                [core / "ansible-playbook", "-i", folder / "inventory.yml", folder / "playbooks" / "purge_orphan.yml", *arguments],
                env={**os.environ, "ANSIBLE_LIBRARY": name + "/lib", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_BECOME_ASK_PASS": "0",
                     "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}, capture_output=True, text=True, timeout=300, check=False)
            report = folder / "report" / "purge.json"
            told = {i["uuid"]: i for i in json.loads(report.read_text())["instances"]} if report.exists() else {}
            calls = [json.loads(line) for line in (folder / "calls").read_text().splitlines()]
        return run, told, calls

    def each(self, scene, *arguments):
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda core: self.play(core, scene, *arguments), CORES))

    BOTH = ["-e", json.dumps({"instance_uuids": [FIRST, SECOND]})]
    RESTART = ["-e", "purge_orphan_restart_compute=true"]
    TWO = [instance(FIRST), instance(SECOND)]

    def test_a_list_is_done(self):
        # Who watches the images is not asked, as a refusal says that it may be done.
        scene = {"instances": self.TWO, "watchers": {FIRST: 9}}
        for run, told, calls in self.each(scene, *self.BOTH, "-e", "purge_orphan_rbd=[]"):
            self.assertEqual(run.returncode, 0, run.stdout[-3000:])
            self.assertEqual({FIRST: "gone", SECOND: "gone"}, {uuid: i["outcome"] for uuid, i in told.items()})
            self.assertIn(["placement_allocation", False, "absent"], calls)
            # The report says which disks are left, and of which that is not known.
            for line in ("disk rbd:vms/goes on compute1 is gone", "disk /stays on compute1", "perhaps disk rbd:vms/silent on compute1, which was not looked at"):
                self.assertEqual(2, run.stdout.count('"  %s"' % line), run.stdout[-6000:])

    def test_the_guests_of_other_hosts_are_counted_among_the_watchers_of_an_image(self):
        hosts = [dict(instance(FIRST)["hosts"][0], host=name, state="running") for name in ("compute1", "compute2")]
        twice = [instance(uuid, hosts=hosts) for uuid in (FIRST, SECOND)]
        for run, told, _ in self.each({"instances": twice, "watchers": {FIRST: 2, SECOND: 3}}, *self.BOTH, "-e", '{"purge_orphan_rbd": ["rbd"]}',
                                      "-e", "on_refusal=skip"):
            self.assertEqual(run.returncode, 2, run.stdout[-3000:])
            self.assertEqual({FIRST: "gone", SECOND: "stopped"}, {uuid: i["outcome"] for uuid, i in told.items()})
            self.assertIn("has 3 watchers", told[SECOND]["why"])

    def test_the_report_has_what_the_last_picture_has(self):
        before, after = ({"what": "domain", "id": "instance-1", "host": "compute1"}, {"what": "instance_files", "id": "/folder", "host": "compute1"})
        for run, told, _ in self.each({"instances": [instance(FIRST, remains=[before])], "remains": [after]}, "-e", "instance_uuid=" + FIRST):
            self.assertEqual(run.returncode, 0, run.stdout[-3000:])
            self.assertEqual(([before], [after]), (told[FIRST]["found"], told[FIRST]["remains"]))
            self.assertIn('"  /folder on compute1"', run.stdout)

    def test_what_is_left_after_all_is_not_gone(self):
        scene = {"instances": [instance(FIRST), instance(SECOND)], "left": {SECOND: ["allocation x is still there"]}}
        for run, told, _ in self.each(scene, *self.BOTH):
            self.assertEqual(run.returncode, 2, run.stdout[-3000:])
            self.assertEqual({FIRST: ["gone", ""], SECOND: ["stopped", "allocation x is still there"]},
                             {uuid: [i["outcome"], i["why"]] for uuid, i in told.items()})

    def test_a_refusal_names_variables_of_a_purge(self):
        locked = instance(FIRST, "stuck", refusals=["it is locked: say allow_locked: true"])
        for run, told, _ in self.each({"instances": [locked]}, "-e", "instance_uuid=" + FIRST):
            self.assertEqual(run.returncode, 2, run.stdout[-3000:])
            self.assertEqual("it is locked: say -e purge_orphan_allow_locked=true", told[FIRST]["why"])

    def test_a_check_ends_well_and_writes_nothing(self):
        for run, told, calls in self.each({"instances": self.TWO}, *self.BOTH, *self.RESTART, "--check"):
            self.assertEqual(run.returncode, 0, run.stdout[-3000:])
            self.assertEqual({}, told)
            self.assertEqual([], [c for c in calls if not c[1] and c[0] not in ("nova_orphan_info", "libvirt_domain_info", "nova_compute_service")])
            self.assertRegex(run.stdout, r"controller +: ok=\d+ +changed=1 ")

    def test_a_check_counts_as_changed_only_what_a_run_would_change(self):
        scene = {"instances": [instance(FIRST)], "nova_volume_release check": {FIRST: "no"}}
        for run, _, _ in self.each(scene, "-e", "instance_uuid=" + FIRST, "--check"):
            self.assertEqual(run.returncode, 2, run.stdout[-3000:])
            self.assertNotRegex(run.stdout, "changed=[1-9]")

    def test_what_a_step_refuses_in_the_check_leaves_all_as_they_are(self):
        modules = ("libvirt_undefine", "nova_instance_delete", "nova_instance_purge", "placement_allocation", "nova_volume_release")
        uuids = UUIDS[:len(modules) + 1]
        scene = {"instances": [instance(uuid) for uuid in uuids]}
        scene.update({module + " check": {uuid: "no, says " + module} for module, uuid in zip(modules, uuids)})
        for run, _, calls in self.each(scene, "-e", json.dumps({"instance_uuids": uuids})):
            self.assertEqual(run.returncode, 2, run.stdout[-3000:])
            for module, uuid in zip(modules, uuids):
                self.assertRegex(run.stdout, uuid + ": [^;]*no, says " + module)
            self.assertEqual([], [c for c in calls if not c[1] and c[2] in ("absent", "released")])

    def test_a_module_that_was_killed_stops_all_that_it_was_called_for(self):
        scene = {"instances": self.TWO, "nova_instance_purge": "crash"}
        for run, told, calls in self.each(scene, *self.BOTH):
            self.assertEqual(run.returncode, 2, run.stdout[-3000:])
            self.assertEqual({"stopped"}, {i["outcome"] for i in told.values()})
            self.assertNotIn(["placement_allocation", False, "absent"], calls)

    def test_what_one_fails_at_is_no_reason_to_leave_the_other(self):
        scene = {"instances": self.TWO, "placement_allocation": {FIRST: "a conflict"}}
        for run, told, _ in self.each(scene, *self.BOTH):
            self.assertEqual(run.returncode, 2, run.stdout[-3000:])
            self.assertEqual({FIRST: "stopped", SECOND: "gone"}, {uuid: i["outcome"] for uuid, i in told.items()})
            self.assertEqual("a conflict", told[FIRST]["why"])

    def test_nova_compute_is_restarted_once_for_what_it_is_to_reap_and_waited_for(self):
        for run, told, calls in self.each({"instances": self.TWO}, *self.BOTH, *self.RESTART):
            self.assertEqual(run.returncode, 0, run.stdout[-3000:])
            self.assertEqual({FIRST: "gone", SECOND: "gone"}, {uuid: i["outcome"] for uuid, i in told.items()})
            # The looks, the restart, the wait, and what was logged by the end.
            self.assertEqual([[True, ""], [True, ""], [False, ""], [False, "reaped"], [False, "reaped"]],
                             [c[1:] for c in calls if c[0] == "nova_compute_restart"])
            self.assertLess(calls.index(["nova_compute_restart", False, "reaped"]), calls.index(["libvirt_undefine", False, "absent"]))

    def test_what_nova_compute_cannot_be_restarted_for_is_not_undefined(self):
        busy = {"busy": "x is building: say restart_while_busy: true"}
        lost = [instance(FIRST), instance(SECOND, "lost")]
        for scene, why in (({"instances": lost, "nova_compute_restart": "systemctl has not come back"}, "systemctl has not come back"),
                           ({"instances": lost, **busy}, "x is building: say -e purge_orphan_restart_while_busy=true"),
                           ({"instances": lost, "no_answer": True}, ""),
                           ({"instances": lost, "silent": True}, "compute1: after its restart: nova-compute has not reported"),
                           ({"instances": lost, "cut_off": True}, "it could not be waited for: the connection was cut")):
            for run, told, calls in self.each(scene, *self.BOTH, *self.RESTART, "-e", "on_refusal=skip", "-e", "purge_orphan_pass_deadline=3"):
                self.assertEqual(run.returncode, 2, run.stdout[-3000:])
                # Where the log could not be read either, nothing there is told as gone.
                other = "stopped" if "cut_off" in scene else "gone"
                self.assertEqual({FIRST: "stopped", SECOND: other}, {uuid: i["outcome"] for uuid, i in told.items()}, why)
                self.assertIn(why, told[FIRST]["why"])
                self.assertEqual("cut_off" in scene or "silent" in scene, ["nova_compute_restart", False, "reaped"] in calls)

    def test_where_nova_compute_could_not_be_restarted_nothing_is_begun(self):
        scene = {"instances": self.TWO, "nova_compute_restart check": "there is no /l (log), by which it is waited for"}
        for run, _, calls in self.each(scene, *self.BOTH, *self.RESTART):
            self.assertEqual(run.returncode, 2, run.stdout[-3000:])
            self.assertIn("there is no /l (purge_orphan_compute_log, or -e purge_orphan_restart_compute=false)", run.stdout)
            self.assertEqual([], [c for c in calls if not c[1] and c[2] in ("absent", "released")])

    def test_what_nova_itself_deletes_takes_no_sql(self):
        stuck = [instance(FIRST, "stuck"), instance(SECOND, "stuck")]
        for run, told, calls in self.each({"instances": stuck}, *self.BOTH, "-e", "allow_sql=false"):
            self.assertEqual(run.returncode, 0, run.stdout[-3000:])
            self.assertEqual({FIRST: "delete", SECOND: "delete"}, {uuid: i["deleted_by"] for uuid, i in told.items()})
            self.assertIn("  delete: gone ({{ said }})", run.stdout)
            self.assertIn("  force_delete: skipped (it is gone)", run.stdout)
            self.assertEqual([], [c for c in calls if c[:2] == ["nova_instance_purge", False]])

    def test_what_is_not_mapped_again_is_told_with_its_reason(self):
        unmapped = [instance(FIRST, "stuck", mapped=False)]
        for command, line in ((["/no/such"], "map: still there (/no/such cell_v2 map_instances: "),
                              ([], "map: skipped (no nova-manage was found: say it with purge_orphan_nova_manage)")):
            scene = {"instances": unmapped, "api": "gone", "nova_manage": command}
            for run, _, _ in self.each(scene, "-e", "instance_uuid=" + FIRST):
                self.assertIn(line, run.stdout[-3000:])

    def test_what_nova_refuses_is_no_more_for_sql_than_what_it_cannot_delete_is_without_its_consent(self):
        stuck = [instance(FIRST, "stuck"), instance(SECOND, "stuck")]
        scene = {"instances": stuck, "api": "still_there", "nova_instance_delete": {FIRST: "403"}}
        for arguments, second in ([[], "gone"], [["-e", "allow_sql=false"], "stopped"]):
            for run, told, _ in self.each(scene, *self.BOTH, *arguments):
                self.assertEqual(run.returncode, 2, run.stdout[-3000:])
                self.assertEqual({FIRST: "stopped", SECOND: second}, {uuid: i["outcome"] for uuid, i in told.items()})
                self.assertEqual({FIRST: "", SECOND: ""}, {uuid: i["deleted_by"] for uuid, i in told.items()})
                self.assertEqual("403", told[FIRST]["why"])
                self.assertEqual(second == "gone", "deleted as Nova does" in run.stdout)

    def test_a_host_that_was_forced_down_is_put_back_or_told(self):
        stuck = [instance(FIRST, "stuck"), instance(SECOND, "stuck")]
        only = ["-e", json.dumps(dict({"purge_orphan_" + way: False for way in ("allow_delete", "allow_reset_state", "allow_force_delete")},
                                      allow_forced_down=True, purge_orphan_poll=0))]
        for times, outcome in ((1, "gone"), (99, "stopped")):
            for run, told, calls in self.each({"instances": stuck, "not_put_back": times}, *self.BOTH, *only):
                self.assertEqual(run.returncode, 0 if outcome == "gone" else 2, run.stdout[-3000:])
                self.assertEqual({FIRST: outcome, SECOND: outcome}, {uuid: i["outcome"] for uuid, i in told.items()})
                self.assertEqual({FIRST: "forced_down", SECOND: "forced_down"}, {uuid: i["deleted_by"] for uuid, i in told.items()})
                steps = [c[2] for c in calls if c[0] == "nova_compute_service" and c[2]]
                self.assertEqual(["forced_down"] + ["put back"] * (len(steps) - 1), steps)
                self.assertEqual(times > 1, len(steps) > 3)
                if outcome == "stopped":
                    self.assertEqual("Nova's API does not answer", told[FIRST]["why"])

    def test_a_guest_that_was_started_since_it_was_judged_is_not_powered_off(self):
        running, off, mute = {"uuid": SECOND, "state": "running"}, {"uuid": SECOND, "state": "shutoff"}, "domain %s: no XML" % FIRST
        runs, silent = "a guest of it runs by now on compute1: .*-e purge_orphan_destroy=true", "compute1 does not tell any more .*no XML"
        for guests, consent, first, second in (({"domains": [running]}, [], "", runs), ({"domains": [off], "unread": [mute]}, [], silent, ""),
                                               ({"domains": [running], "unread": [mute]}, [], silent, runs),
                                               ({"domains": [running]}, ["-e", "purge_orphan_destroy=true"], "", "")):
            for run, told, _ in self.each({"instances": self.TWO, "guests": guests}, *self.BOTH, *consent):
                self.assertEqual(run.returncode, 2 if first + second else 0, run.stdout[-3000:])
                for uuid, why in ((FIRST, first), (SECOND, second)):
                    self.assertEqual("stopped" if why else "gone", told[uuid]["outcome"], uuid)
                    self.assertRegex(told[uuid]["why"], why or "^$")

    def test_a_log_that_is_not_read_is_told(self):
        for log, said in (("none", "nova-compute on compute1 restarted, whose log is not read"), ("/l", "nova-compute on compute1 restarted\"")):
            for run, _, _ in self.each({"instances": self.TWO, "log": log}, *self.BOTH, *self.RESTART):
                self.assertEqual(run.returncode, 0, run.stdout[-3000:])
                self.assertIn(said, run.stdout)

    def test_what_nova_compute_still_complains_of_is_not_gone(self):
        for run, told, _ in self.each({"instances": self.TWO, "complained": [SECOND]}, *self.BOTH, *self.RESTART):
            self.assertEqual(run.returncode, 2, run.stdout[-3000:])
            self.assertEqual({FIRST: "gone", SECOND: "stopped"}, {uuid: i["outcome"] for uuid, i in told.items()})

    def test_text_that_others_chose_is_never_a_template(self):
        mark = pathlib.Path(tempfile.gettempdir()) / ("chosen-%d" % os.getpid())
        texts = ["{{ lookup('pipe', 'touch %s') }}" % mark, "{%% raw %%} {{ 7*7 }} %s" % mark]
        steps = ["judge", "libvirt_undefine check", "placement_allocation", "libvirt_undefine"]
        chosen = dict(zip(UUIDS, texts * len(steps)))
        scene = {"instances": [instance(uuid) for uuid in UUIDS]}
        for (uuid, text), step in zip(chosen.items(), sorted(steps * len(texts))):
            scene.setdefault(step, {})[uuid] = text
        for entry in scene["instances"]:
            if entry["uuid"] in scene["judge"]:
                entry.update(verdict="busy", refusals=[scene["judge"][entry["uuid"]]])
        for run, told, _ in self.each(scene, "-e", json.dumps({"instance_uuids": UUIDS}), "-e", "on_refusal=skip"):
            self.assertFalse(mark.exists())
            self.assertEqual(run.returncode, 2, run.stdout[-3000:])
            self.assertEqual("gone", told[UUIDS[-1]]["outcome"])
            for uuid, text in chosen.items():
                self.assertRegex(run.stdout, uuid + ": [^;]*" + re.escape(json.dumps(text)[1:-1]))

    def test_a_variable_that_does_not_exist_is_an_error_before_anything_is_read(self):
        for wrong, said in (("destroy=true", "Say purge_orphan_destroy instead"), ("purge_orphan_destory=true", "No variable of a purge: purge_orphan_destory"),
                            ("allow_slq=false", "No variable of a purge: allow_slq"), ("preserve_volume=true", "No variable of a purge: preserve_volume"),
                            ("preserve-volumes=true", "No variable of a purge: preserve-volumes"), ("Allow_SQL=false", "No variable of a purge: Allow_SQL"),
                            ("on_refusal=skipp", "purge_orphan_on_refusal"), ("allow_sql=nope", "purge_orphan_allow_sql")):
            for run, _, calls in self.each({"instances": self.TWO}, *self.BOTH, "-e", wrong):
                self.assertEqual(run.returncode, 2, wrong)
                self.assertIn(said, run.stdout + run.stderr)
                self.assertEqual([], calls)

    def test_a_filter_of_findings_that_is_misspelt_is_an_error(self):
        findings = json.dumps({"findings": [{"uuid": FIRST, "verdict": "zombie", "kind": "zombie"}, {"uuid": SECOND, "verdict": "stuck", "kind": "error"}]})
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(findings)
            file.flush()
            for wrong, status, said in (("kind=zombie", 2, "No variable of a purge: kind"), ("kinds=zombie", 0, "")):
                for run, told, _ in self.each({"instances": [instance(FIRST)]}, "-e", "findings=" + file.name, "-e", wrong):
                    self.assertEqual(run.returncode, status, run.stdout[-3000:])
                    self.assertIn(said, run.stdout)
                    self.assertEqual([] if status else [FIRST], list(told))

    def test_what_the_api_fails_at_for_one_instance_alone_goes_without_it(self):
        scene = {"instances": [instance(FIRST, "stuck")], "api": "still_there",
                 "nova_instance_delete check": {FIRST: "nova answered 500 Internal Server Error to GET http://nova/servers/1"}}
        for run, told, _ in self.each(scene, "-e", "instance_uuid=" + FIRST):
            self.assertEqual(run.returncode, 2, run.stdout[-3000:])
            way_out = re.search(r"leave Nova's own ways out with -e '([^']+)'", told[FIRST]["why"])[1]
            for again, after, calls in self.each(scene, "-e", "instance_uuid=" + FIRST, "-e", way_out):
                self.assertEqual(again.returncode, 0, again.stdout[-3000:])
                self.assertEqual("gone", after[FIRST]["outcome"])
                self.assertEqual([], [c for c in calls if c[0] == "nova_instance_delete"])

    def test_tags_are_refused_since_a_run_of_some_steps_is_none(self):
        for tags in (["--tags", "database"], ["--skip-tags", "database"]):
            for run, _, calls in self.each({"instances": self.TWO}, *self.BOTH, *tags):
                self.assertEqual(run.returncode, 2, run.stdout[-3000:])
                self.assertIn("leave out steps", run.stdout)
                self.assertEqual([], calls)

    def test_a_check_refuses_what_only_sql_that_is_not_allowed_could_delete(self):
        deleting = dict(instance(FIRST)["instance"], task_state="deleting")
        stuck = [instance(FIRST, "stuck", instance=deleting), instance(SECOND, "stuck")]
        only = ["-e", json.dumps({"purge_orphan_allow_reset_state": False, "purge_orphan_allow_force_delete": False, "purge_orphan_allow_restart": False,
                                  "allow_sql": False, "on_refusal": "skip"})]
        for run, _, _ in self.each({"instances": stuck}, *self.BOTH, *only, "--check"):
            self.assertEqual(run.returncode, 2, run.stdout[-3000:])
            self.assertIn("1 of 2 instances was left out or not finished: %s: it takes SQL" % FIRST, run.stdout)
            self.assertIn("delete: expected to do it", run.stdout)
            self.assertNotIn("would be deleted as Nova does", run.stdout)


if __name__ == "__main__":
    unittest.main()
