"""The playbook's reports and exit status, with two modules that answer what they are told, by the oldest and the newest ansible-core."""

import concurrent.futures
import copy
import json
import os
import pathlib
import shutil
import subprocess
import unittest

import jsonschema
from prometheus_client.parser import text_string_to_metric_families

TESTS = pathlib.Path(__file__).parent
PROJECT = TESTS.parents[3]
WORK = pathlib.Path(os.environ["WORK"])
SCHEMA = json.loads((PROJECT / "docs/orphans.schema.json").read_text())
EXAMPLE = json.loads((TESTS / "example.json").read_text())

INVENTORY = {
    "all": {
        "vars": {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": "/usr/bin/python3"},
        "children": {
            "controller": {"hosts": {"ctl1": None}},
            "compute": {
                "hosts": {
                    "cmp01": None,
                    # No folder can be made there, which Ansible takes for a host that is not reached.
                    "cmp11": {"ansible_remote_tmp": "/proc/none"},
                    "cmp12": {"audit_orphans_libvirt_uri": "broken"},
                }
            },
        },
    }
}

DOMAIN_INFO = """#!/usr/bin/python3
# WANT_JSON
import json, sys
answer = {"changed": False, "hypervisor_hostname": "cmp01.example.com", "libvirt_version": "9.0.0", "driver": "QEMU",
          "domains": [{"uuid": "0", "name": "{{ 7*7 }}"}], "instance_files": [], "unread": []}
if json.load(open(sys.argv[1]))["libvirt_uri"] == "broken":
    answer = {"failed": True, "msg": "libvirt does not answer"}
print(json.dumps(answer))
"""

ORPHAN_INFO = """#!/usr/bin/python3
# WANT_JSON
import json, pathlib, sys
arguments = json.load(open(sys.argv[1]))
folder = pathlib.Path(arguments["nova_conf"])
(folder / "arguments.json").write_text(json.dumps(arguments))
given = {option: arguments.get(option) or [] for option in ("instance_uuid", "host", "project", "kinds")}
scope = {option: value.split(",") if isinstance(value, str) else value for option, value in given.items()}
print(json.dumps(json.loads((folder / "answer.json").read_text()) | {"scope": scope}))
"""


def hostile():
    answer = copy.deepcopy(EXAMPLE)
    answer["findings"][0]["name"] = "<script>alert(1)</script>"
    answer["findings"][1]["name"] = "{{ 7*7 }}"
    answer["findings"][1]["reasons"] = ["</script><b>'\"\\"]
    answer["findings"][2]["hosts"] = ['cmp"\\05\n']
    return answer


def without(*keys):
    return EXAMPLE | {key: [] for key in keys}


# Two that were named, of which nothing is an orphan.
UUIDS = "6695eb01-f6a4-4304-b9aa-97f2502e193f,390b4d5a-0a3c-4f0e-9d0c-2b0b6f6f1a11"
NAMED = without("findings", "unknown", "unread") | {
    "not_orphaned": [EXAMPLE["findings"][0] | {"uuid": uuid, "kind": "", "verdict": "live", "method": "", "command": ""} for uuid in UUIDS.split(",")],
    "counts": EXAMPLE["counts"] | {"findings": 0, "unknown": 0, "unread": 0},
}


class Run:
    """One run of the playbook, in a folder of its own."""

    def __init__(self, name, ansible, answer, *arguments, **of_controller):
        self.folder = WORK / name
        (self.folder / "library").mkdir(parents=True)
        # Beside the playbook, modules that were built would come before these.
        shutil.copy(PROJECT / "playbooks/audit_orphans.yml", self.folder)
        for module, text in {"libvirt_domain_info": DOMAIN_INFO, "nova_orphan_info": ORPHAN_INFO}.items():
            (self.folder / "library" / module).write_text(text)
        (self.folder / "answer.json").write_text(json.dumps({"changed": False} | answer))
        inventory = copy.deepcopy(INVENTORY)
        inventory["all"]["children"]["controller"]["hosts"]["ctl1"] = of_controller
        (self.folder / "inventory.json").write_text(json.dumps(inventory))
        variables = {
            "audit_orphans_nova_conf": str(self.folder),
            "audit_orphans_report_dir": str(self.folder / "report"),
            "audit_orphans_metrics_file": str(self.folder / "orphans.prom"),
        }
        result = subprocess.run(
            [PROJECT / f".cache/{ansible}/bin/ansible-playbook", "--inventory=inventory.json", "audit_orphans.yml",
             f"--extra-vars={json.dumps(variables)}", *arguments],
            cwd=self.folder,
            env=os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_ROLES_PATH": str(PROJECT / "playbooks/roles"),
                              "ANSIBLE_NOCOLOR": "1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )
        self.status, self.output = result.returncode, result.stdout

    def arguments(self):
        return json.loads((self.folder / "arguments.json").read_text())

    def file(self, name):
        return (self.folder / name).read_bytes()

    def report(self):
        return json.loads(self.file("report/orphans.json"))


def strict(schema):
    """The schema without room for keys that it does not name."""
    if isinstance(schema, list):
        return [strict(element) for element in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if schema.get("type") == "object" and "properties" in schema else {}
    return closed | {key: strict(value) for key, value in schema.items()}


def faults(report):
    return sorted(error.json_path + ": " + error.message for error in jsonschema.Draft202012Validator(strict(SCHEMA)).iter_errors(report))


class TheReports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        runs = {
            "newest": ("newest", hostile()),
            "oldest": ("oldest", hostile()),
            "clean": ("newest", without("findings", "unknown", "unread")),
            "checked": ("oldest", without("unread", "unknown"), "--check"),
            "unwatched": ("newest", EXAMPLE, "--extra-vars={'audit_orphans_fail_on': ['findings'], 'audit_orphans_hosts': ['cmp01']}"),
            "limited": ("newest", EXAMPLE, "--limit=controller"),
            "failed": ("oldest", {"failed": True, "msg": "40 % of the instances would be findings"}),
            "named": ("oldest", NAMED, f"--extra-vars=audit_orphans_instance_uuids={UUIDS}", "--extra-vars=audit_orphans_kinds=zombie,error",
                      "--extra-vars=audit_orphans_hosts=cmp01 audit_orphans_projects=p1"),
            "listed": ("newest", NAMED, "--extra-vars=" + json.dumps({"audit_orphans_instance_uuids": UUIDS.split(",")})),
            "only_failures": ("oldest", EXAMPLE, "--extra-vars=audit_orphans_fail_on=[]"),
            "only_findings": ("newest", EXAMPLE, "--extra-vars=audit_orphans_fail_on=findings"),
            "wrong_status": ("newest", EXAMPLE, "--extra-vars=audit_orphans_fail_on=findings,unraed"),
            "mistyped": ("oldest", EXAMPLE, "--extra-vars=audit_orphans_host=cmp01"),
            "unwritable": ("newest", EXAMPLE, "--extra-vars=audit_orphans_metrics_file=/proc/none/orphans.prom"),
        }
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            cls.runs = dict(zip(runs, pool.map(lambda name: Run(name, *runs[name]), runs), strict=True))

    def test_the_status_tells_what_was_found_and_what_was_not_read(self):
        want = {"clean": 0, "checked": 2, "unwatched": 2, "limited": 2, "failed": 2, "newest": 4, "oldest": 4, "named": 0, "listed": 0,
                "only_failures": 0, "only_findings": 2, "wrong_status": 2, "mistyped": 2, "unwritable": 2}
        self.assertEqual({name: run.status for name, run in self.runs.items()}, want, self.runs["clean"].output)
        self.assertIn("23 findings; hypervisor cmp11 could not be read", self.runs["newest"].output)
        self.assertIn("--limit leaves hosts out of the picture", self.runs["limited"].output)

    def test_the_table_is_shown_within_120_columns(self):
        for name in "newest", "oldest":
            shown = [line for line in self.runs[name].output.splitlines() if any(row in line for row in EXAMPLE["table"])]
            self.assertEqual(len(shown), len(EXAMPLE["table"]))
            self.assertLessEqual(max(map(len, shown)), 120)

    def test_no_hypervisor_is_left_out_of_the_question(self):
        for name in "newest", "oldest":
            asked = {entry["host"]: entry for entry in json.loads(self.runs[name].arguments()["domains"])}
            nothing = {"nova_host": "", "hypervisor_hostname": "", "domains": [], "instance_files": [], "unread": []}
            read = {"hypervisor_hostname": "cmp01.example.com", "domains": [{"uuid": "0", "name": "{{ 7*7 }}"}]}
            self.assertEqual(asked["cmp01"], nothing | {"host": "cmp01", "failure": ""} | read)
            self.assertEqual(asked["cmp11"], {"host": "cmp11", "failure": "could not be reached"} | nothing)
            self.assertEqual(asked["cmp12"], {"host": "cmp12", "failure": "libvirt does not answer"} | nothing)

    def test_a_filter_may_be_text_or_a_list(self):
        asked = {name: {key: self.runs[name].arguments().get(key) for key in ("instance_uuid", "host", "project", "kinds")}
                 for name in ("named", "listed")}
        self.assertEqual(asked, {
            "named": {"instance_uuid": UUIDS, "host": "cmp01", "project": "p1", "kinds": "zombie,error"},
            "listed": {"instance_uuid": UUIDS.split(","), "host": None, "project": None, "kinds": None},
        })
        self.assertEqual(self.runs["named"].report()["scope"],
                         {"instance_uuid": UUIDS.split(","), "host": ["cmp01"], "project": ["p1"], "kinds": ["zombie", "error"]})

    def test_what_was_named_and_is_no_orphan_is_told_and_is_no_finding(self):
        for name in "named", "listed":
            report = self.runs[name].report()
            self.assertEqual(faults(report), [])
            self.assertEqual([told["uuid"] for told in report["not_orphaned"]], UUIDS.split(","))
            self.assertNotIn("nova_orphan_findings{", self.runs[name].file("orphans.prom").decode())

    def test_a_variable_that_is_none_is_named_before_anything_is_read(self):
        in_inventory = Run("mistyped_in_inventory", "newest", EXAMPLE, audit_orphans_host="cmp01", audit_orphans_min_age=7)
        for run in self.runs["mistyped"], in_inventory:
            self.assertEqual(run.status, 2)
            self.assertRegex(run.output, r"No variable of an audit: audit_orphans_host[.]")
            self.assertNotIn("List the hypervisor's domains", run.output)
        self.assertRegex(self.runs["wrong_status"].output, r"audit_orphans_fail_on takes findings and unread, got: unraed")

    def test_both_releases_write_the_same(self):
        for name in "report/orphans.json", "report/orphans.html", "orphans.prom":
            self.assertEqual(self.runs["newest"].file(name), self.runs["oldest"].file(name), name)

    def test_a_check_and_a_failure_write_nothing(self):
        for name in "checked", "failed", "limited", "mistyped", "wrong_status":
            self.assertEqual([path for path in ("report", "orphans.prom") if (self.runs[name].folder / path).exists()], [], name)

    def test_a_file_that_cannot_be_written_leaves_the_report_as_it_was(self):
        run = self.runs["unwritable"]
        self.assertEqual((run.folder / "report/orphans.json").exists(), False)
        self.assertRegex(run.output, "/proc/none")

    def test_no_run_says_that_it_has_changed_something(self):
        for name, run in self.runs.items():
            self.assertNotRegex(run.output, r"changed\W[1-9]", name)

    def test_the_json_is_the_answer_and_fits_its_schema(self):
        jsonschema.Draft202012Validator.check_schema(SCHEMA)
        report = self.runs["newest"].report()
        self.assertEqual(faults(report), [])
        self.assertEqual(report["findings"], hostile()["findings"])
        self.assertEqual(self.runs["unwatched"].report()["scope"], {"instance_uuid": [], "host": ["cmp01"], "project": [], "kinds": []})
        report["findings"][0]["kind"] = "gone"
        report["hosts"][0]["held"]["VCPU"] = "8"
        del report["taken_at"]
        self.assertEqual(len(faults(report)), 3)

    def test_the_metrics_are_what_prometheus_reads(self):
        families = {family.name: family for family in text_string_to_metric_families(self.runs["newest"].file("orphans.prom").decode())}
        self.assertEqual({family.type for family in families.values()}, {"gauge"})
        value = {(sample.name, *sample.labels.values()): sample.value for family in families.values() for sample in family.samples}
        self.assertEqual(sum(sample.value for sample in families["nova_orphan_findings"].samples), 23)
        for sample, want in {
            ("nova_orphan_findings", "zombie", "cmp01"): 2,
            ("nova_orphan_findings", "deleting", 'cmp"\\05\n'): 1,
            ("nova_orphan_findings", "host_gone", ""): 1,
            ("nova_orphan_held", "cmp01", "VCPU"): 48,
            ("nova_orphan_capacity", "cmp01", "VCPU"): 64,
            ("nova_orphan_counted", "instances"): 1874,
            ("nova_orphan_unread_sources",): 1,
            ("nova_orphan_unknown",): 2,
            ("nova_orphan_audit_duration_seconds",): 3.42,
            ("nova_orphan_audit_timestamp_seconds",): 1772432104,
        }.items():
            self.assertEqual(value.get(sample), want, sample)
        documented = (PROJECT / "docs/audit.md").read_text()
        self.assertEqual([name for name in families if f"`{name}" not in documented], [])

    def test_the_page_in_a_browser(self):
        shots = WORK / "page"
        shots.mkdir()
        example = WORK / "example.json"
        report = {"schema_version": 1} | {key: value for key, value in EXAMPLE.items() if key != "table"}
        example.write_text(json.dumps(report))
        result = subprocess.run(
            [PROJECT / ".cache/report/bin/node", "--test", "--test-reporter=spec", TESTS / "test_page.cjs"],
            env=os.environ | {"CHROMIUM": shutil.which("chromium"), "NODE_PATH": str(PROJECT / ".cache/report/node_modules"),
                              "EXAMPLE": str(example), "SHOTS": str(shots),
                              "REPORT": str(self.runs["oldest"].folder / "report/orphans.html")},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )
        self.assertEqual(result.returncode, 0, result.stdout)


if __name__ == "__main__":
    unittest.main()
