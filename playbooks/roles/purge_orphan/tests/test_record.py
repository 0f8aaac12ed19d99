"""How far a purge has come, which instances it is for, and which variables there are. Run by `make play-test`, with the Python of an ansible-core."""

import importlib.util
import pathlib
import unittest

import yaml

ROLE = pathlib.Path(__file__).resolve().parents[1]
FIRST, SECOND, MIGRATION = ("%08d-0000-4000-8000-000000000000" % n for n in range(1, 4))


def plugin(name):
    spec = importlib.util.spec_from_file_location(name, ROLE / "action_plugins" / (name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


record, instances, variables = map(plugin, ("purge_orphan_record", "purge_orphan_instances", "purge_orphan_variables"))


def instance(uuid, *hosts, consumers=()):
    return {"uuid": uuid, "consumers": [uuid, *consumers], "hosts": [{"host": host} for host in hosts]}


class Complaints(unittest.TestCase):
    def stopped(self, answer, **more):
        def instances_of(consumer, host):
            return [uuid for uuid, names in ((FIRST, (FIRST, MIGRATION, "host1")), (SECOND, (SECOND, "host1"))) if consumer in names or host in names]
        return list(record.complaints(answer, [FIRST, SECOND], instances_of, **more))

    def test_of_a_list_those_are_stopped_that_failed(self):
        failed, done = {"failed": True, "msg": "no"}, {"failed": False, "msg": "done"}
        for key, name in (("instances", "instance_uuid"), ("domains", "uuid"), ("consumers", "consumer")):
            self.assertEqual([(FIRST, "no")], self.stopped({"failed": True, key: [{name: FIRST, **failed}, {name: SECOND, **done}]}), key)

    def test_a_migration_and_a_host_stop_whose_they_are(self):
        self.assertEqual([(FIRST, "no")], self.stopped({"consumers": [{"consumer": MIGRATION, "failed": True, "msg": "no"}]}))
        self.assertEqual([(FIRST, "no"), (SECOND, "no")], self.stopped({"services": [{"host": "host1", "failed": True, "msg": "no"}]}))

    def test_one_that_is_still_there_is_for_the_next_way(self):
        self.assertEqual([], self.stopped({"instances": [{"instance_uuid": FIRST, "failed": True, "outcome": "still_there", "msg": "there"}]}))

    def test_an_answer_of_none_is_one_against_all(self):
        for answer, why in (({"failed": True, "msg": "it was killed"}, "it was killed"), ({"failed": True, "msg": "", "instances": []}, "it gave no answer"),
                            ({"unreachable": True, "msg": "no route"}, "no route"), ({}, "it gave no answer")):
            self.assertEqual([(FIRST, why), (SECOND, why)], self.stopped(answer), answer)

    def test_a_step_that_was_not_needed_stops_nobody(self):
        self.assertEqual([], self.stopped({"skipped": True, "changed": False}))

    def test_what_keeps_nova_compute_from_a_restart_stops_whom_the_api_cannot_delete(self):
        def services(**why):
            return {"services": [{"host": "host1", "failed": False, "restart": {"silent": "", "busy": "", **why}}]}
        self.assertEqual([], self.stopped(services(), spares=[]))
        self.assertEqual([], self.stopped(services(busy="b")))
        self.assertEqual([(SECOND, "b; u")], self.stopped(services(busy="b", unreadable="u"), spares=[FIRST]))
        self.assertEqual([FIRST, SECOND], [uuid for uuid, _ in self.stopped({"services": [{"host": "host1", "failed": False}]}, spares=[FIRST])])
        # Without a nova-compute nothing on the host is reaped, whoever deletes the row.
        self.assertEqual([(FIRST, "s; b"), (SECOND, "s; b")], self.stopped(services(silent="s", busy="b"), spares=[FIRST]))


class Hosts(unittest.TestCase):
    def test_whom_a_host_has_stopped_and_what_is_on_one_that_did_not_come_to_the_end(self):
        hosts = {"host1": {"stopped": {FIRST: {"step": "Look", "why": "no"}}, "ended": ["part"]}, "host2": {"ended": ["another part"]}, "host3": {}}
        entries = [instance(FIRST, "host1"), instance(SECOND, "host1", "host2"), instance(MIGRATION, "host1")]
        self.assertEqual([(FIRST, "Look", "no"),
                          (SECOND, "part", "a host that may have something of it failed at this (host2, host3): see its output above")],
                         list(record.hosts_complaints(entries, hosts, "part")))


class Guests(unittest.TestCase):
    GOING = [instance(FIRST, "host1", "host2"), instance(SECOND, "host1")]

    def stopped(self, destroy=False, **answer):
        return dict(record.guests([{"purge_orphan_at": "host1", **answer}], self.GOING, destroy))

    def test_a_guest_that_runs_needs_consent(self):
        running = {"domains": [{"uuid": FIRST, "state": "running"}, {"uuid": SECOND, "state": "shutoff"}], "unread": []}
        self.assertEqual([FIRST], list(self.stopped(**running)))
        self.assertIn("-e purge_orphan_destroy=true", self.stopped(**running)[FIRST])
        self.assertEqual({}, self.stopped(True, **running))

    def test_what_is_paused_or_of_a_state_that_nobody_knows_runs(self):
        for state in ("paused", "pmsuspended", "crashed", ""):
            self.assertEqual([SECOND], list(self.stopped(domains=[{"uuid": SECOND, "state": state}], unread=[])), state)

    def test_a_host_that_does_not_tell_stops_what_is_there(self):
        for answer in ({"msg": "no route"}, {"msg": ""}, {}, {"msg": "libvirt", "unread": ["domains: libvirt"]}):
            self.assertEqual([FIRST, SECOND], list(self.stopped(True, **answer)), answer)
        self.assertEqual([], list(record.guests([{"purge_orphan_at": "host3"}], self.GOING, False)))

    def test_a_domain_that_cannot_be_read_stops_its_instance(self):
        self.assertEqual({FIRST: f"host1 does not tell any more whether a guest of it runs (domain {FIRST}: no XML)"},
                         self.stopped(True, domains=[], unread=[f"domain {FIRST}: no XML"]))


class Record(unittest.TestCase):
    def test_what_stopped_one_first_stands_and_the_rest_is_kept(self):
        first = record.added(record.EMPTY, [(FIRST, "a", "no")], {"ended": ["part"]}, {})
        second = record.added(first, [(FIRST, "b", "never"), (SECOND, "b", "no")], {"refused": "True", "gone": [SECOND]}, {})
        third = record.added(second, [], {"gone": [SECOND, MIGRATION]}, {})
        self.assertEqual({"stopped": {FIRST: {"step": "a", "why": "no"}, SECOND: {"step": "b", "why": "no"}}, "refused": True, "ended": ["part"],
                          "tries": {}, "wrote": {}, "gone": [SECOND, MIGRATION]}, third)
        self.assertEqual({"stopped": {}, "refused": False, "ended": [], "tries": {}, "wrote": {}, "gone": []}, record.EMPTY)

    def test_what_was_tried_and_written_is_kept_by_its_way(self):
        def answer(uuid, changed, server):
            return {"instances": [{"instance_uuid": uuid, "changed": changed, "tries": [{"method": "delete"}], "server": server}]}
        one = record.added(record.EMPTY, [], {"way": "api"}, answer(FIRST, True, {"updated": "then"}))
        both = record.added(one, [], {"way": "forced_down"}, answer(SECOND, False, {"updated": "now"}))
        self.assertEqual({"api": {FIRST: [{"method": "delete"}]}, "forced_down": {SECOND: [{"method": "delete"}]}}, both["tries"])
        self.assertEqual({FIRST: "then"}, both["wrote"])
        self.assertEqual({"api": {}}, record.added(record.EMPTY, [], {"way": "api"}, {"skipped": True})["tries"])

    def test_no_task_that_keeps_the_record_is_ever_skipped(self):
        """It would register that it was skipped, in the place of the record. The condition of a block is that of the tasks that it includes, too."""
        def conditional(tasks, when):
            for task in tasks:
                under = when or "when" in task
                if "purge_orphan_record" in task and under or "ansible.builtin.include_tasks" in task and when:
                    yield task["name"]
                # What fails in a block has had its condition met.
                yield from conditional(task.get("rescue", []), False)
                yield from conditional(task.get("block", []) + task.get("always", []), under)
        tasks = {path.name: list(conditional(yaml.safe_load(path.read_text()), False)) for path in (ROLE / "tasks").glob("*.yml")}
        self.assertEqual({}, {name: found for name, found in tasks.items() if found})
        self.assertEqual(["a"], list(conditional([{"when": "x", "block": [{"name": "a", "purge_orphan_record": {}}]}], False)))


class Instances(unittest.TestCase):
    FINDINGS = [{"uuid": FIRST, "verdict": "zombie", "kind": "zombie", "project_id": "p1", "hosts": ["host1", "host2"]},
                {"uuid": SECOND, "verdict": "stuck", "kind": "error", "project_id": "p2"}, {"uuid": MIGRATION, "verdict": "live", "kind": "error"}]

    def test_findings_are_chosen_by_all_that_is_given(self):
        for chosen, wanted in ((([], [], []), [FIRST, SECOND]), ((["zombie"], [], []), [FIRST]), (([], ["host2"], []), [FIRST]),
                               (([], ["host3"], []), []), (([], [], ["p2", "p3"]), [SECOND]), ((["error"], ["host1"], []), [])):
            self.assertEqual(wanted, instances.choose(self.FINDINGS, *chosen), chosen)

    def test_a_list_has_some_each_once_and_not_too_many(self):
        for uuids, findings, said in (([FIRST], "", "^$"), ([], "", "No instance is named"), ([], "f", "No finding of f is left by kinds, hosts and projects"),
                                      ([FIRST, FIRST], "", "named twice"), ([FIRST, SECOND, MIGRATION], "", "3 instances .*-e max_instances=3")):
            self.assertRegex(instances.refusal(uuids, findings, 2), said)


class Variables(unittest.TestCase):
    def wrong(self, *names, known=("purge_orphan_destroy",), unprefixed=("allow_sql", "preserve_volumes", "kinds", "destroy", "findings")):
        return list(variables.misspelt(set(names), "purge_orphan_", set(known), set(unprefixed)))

    def test_what_is_meant_for_a_purge_and_none_of_its_variables_is_found(self):
        for name in ("purge_orphan_destory", "allow_slq", "alow_sql", "preserve_volume", "preserve-volumes", "Allow_SQL", "Purge-Orphan-Destroy"):
            self.assertEqual([name], self.wrong(name), name)
        self.assertEqual(["kind"], self.wrong("kind", "findings"))

    def test_other_variables_are_nobodys_business(self):
        self.assertEqual([], self.wrong("purge_orphan_destroy", "allow_sql", "kinds", "host", "kind", "ansible_host", "my-own", "FOO", "audit_orphans_host"))

    def test_a_role_without_short_names_looks_at_its_own_alone(self):
        self.assertEqual(["purge_orphan_x"], self.wrong("purge_orphan_x", "allow_slq", "Allow_SQL", unprefixed=()))


if __name__ == "__main__":
    unittest.main()
