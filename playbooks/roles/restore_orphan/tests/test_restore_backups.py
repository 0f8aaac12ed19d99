"""Which files of a folder are taken for backups, and which of them are put back. Run by `make play-test`, with the Python of an ansible-core."""

import importlib.util
import pathlib
import tempfile
import unittest

ROLE = pathlib.Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("restore_orphan_backups", ROLE / "action_plugins" / "restore_orphan_backups.py")
plugin = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plugin)

FIRST, SECOND, MIGRATION, OTHER = ("%08d-0000-4000-8000-000000000000" % n for n in range(1, 5))
ROWS, ALLOCATION, DOMAIN = "nova_instance_purge", "placement_allocation", "libvirt_undefine"
NOW = [{"instance_uuid": FIRST, "verdict": "deleted", "instance": {"uuid": FIRST, "migrations": [{"uuid": MIGRATION}]}},
       {"instance_uuid": SECOND, "verdict": "lost", "instance": None}]


def named(module, second=0, instance=FIRST, host="controller", consumer=""):
    return f"{instance}/{host}/{consumer or instance}/20260101T0000{second:02}.000000Z-{module}.json"


def judged(*written, now=()):
    """Of pairs of a name and a kind."""
    return plugin.judge([plugin.describe("/copies/" + name, b'{"format": 1, "kind": "%s"}' % kind.encode()) for name, kind in written], now)


class Finding(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.copies = pathlib.Path(folder.name).resolve() / "copies"

    def write(self, name):
        (self.copies / name).parent.mkdir(parents=True, exist_ok=True)
        (self.copies / name).write_text("{}")

    def found(self, folder):
        return {str(pathlib.Path(path).relative_to(folder.parent if folder.name == FIRST else folder)) for path in plugin.find(str(folder))}

    def test_the_folder_of_an_instance_has_its_own_and_that_of_a_run_those_that_its_links_lead_to(self):
        names = {named(ROWS), named(DOMAIN, host="compute-1.example_2"), named(ALLOCATION, consumer=MIGRATION)}
        for name in names | {named(ROWS, instance=SECOND), named(ROWS, instance=OTHER)}:
            self.write(name)
        (self.copies / "RUN").mkdir()
        for instance in (FIRST, SECOND):
            (self.copies / "RUN" / instance).symlink_to(f"../{instance}")
        self.assertEqual(names, self.found(self.copies / FIRST))
        self.assertEqual(names | {named(ROWS, instance=SECOND)}, self.found(self.copies / "RUN"))
        self.assertEqual(names | {named(ROWS, instance=SECOND), named(ROWS, instance=OTHER)}, self.found(self.copies))

    def test_nothing_else_is_a_backup(self):
        for why, name in (("another module's", named("nova_instance_delete")),
                          ("one that was not written to its end", f"{FIRST}/controller/{FIRST}/.partial-1"),
                          ("one with an end of line", named(ROWS) + "\n"),
                          ("one without a time", f"{FIRST}/controller/{FIRST}/{ROWS}.json"),
                          ("of no consumer", f"{FIRST}/controller/x/20260101T000000.000000Z-{ROWS}.json"),
                          ("of a host with a name that none has", named(ROWS, host="{{ x }}")),
                          ("of no instance", "x/" + named(ROWS).partition("/")[2]),
                          ("further above", f"{FIRST}/{FIRST}/20260101T000000.000000Z-{ROWS}.json"),
                          ("further below", f"{FIRST}/" + named(ROWS))):
            with self.subTest(why):
                self.write(name)
                self.assertEqual(set(), self.found(self.copies) | self.found(self.copies / FIRST))

    def test_a_link_to_a_file_is_not_followed_nor_is_a_folder_taken_for_one(self):
        self.write("outside.json")
        (self.copies / named(DOMAIN)).mkdir(parents=True)
        (self.copies / named(ROWS)).symlink_to(self.copies / "outside.json")
        (self.copies / SECOND).symlink_to("nowhere")
        self.assertEqual(set(), self.found(self.copies))

    def test_what_is_no_folder_has_none(self):
        self.assertEqual(set(), self.found(self.copies / "missing"))
        self.write("x")
        self.assertEqual(set(), self.found(self.copies / "x"))


class Describing(unittest.TestCase):
    def test_what_its_name_and_its_head_say(self):
        name = named(ALLOCATION, host="c1", consumer=MIGRATION)
        self.assertEqual({"path": "/copies/" + name, "name": name, "module": ALLOCATION, "instance": FIRST, "host": "c1", "consumer": MIGRATION,
                          "kind": "saved"}, plugin.describe("/copies/" + name, b'{\n  "format": 1,\n  "kind": "saved",\n  "module"'))

    def test_only_a_head_says_the_kind(self):
        for why, content in (("empty", b""), ("without one", b'{"format": 1, "module": "x", "kind": "purge"}'), ("of a number", b'{"format": 1, "kind": 1}'),
                             ("in the data", b'{"data": {"format": 1, "kind": "purge"}}'), ("cut off", b'{"format": 1, "kind": "pur'),
                             ("with more", b'{"format": 1, "kind": "{{ x }}"}'), ("not text", b"\xff\xfe")):
            with self.subTest(why):
                self.assertEqual("", plugin.describe("/" + named(ROWS), content)["kind"])


class Judging(unittest.TestCase):
    def test_of_each_the_newest_is_put_back(self):
        rows, domain, host2, again = named(ROWS), named(DOMAIN, host="c1"), named(DOMAIN, host="c2"), named(ROWS, 9, host="controller2")
        for why, written, wanted in (
                ("of a module the newest of a consumer", [(rows, "purge"), (named(ROWS, 1), "purge")], [named(ROWS, 1)]),
                ("in whatever order they are found", [(named(ROWS, 1), "purge"), (rows, "purge")], [named(ROWS, 1)]),
                ("on whichever controller", [(rows, "purge"), (again, "purge")], [again]),
                ("of a domain that of each host", [(domain, "purge"), (host2, "purge")], [domain, host2]),
                ("of each instance", [(rows, "purge"), (named(ROWS, instance=SECOND), "purge")], [rows, named(ROWS, instance=SECOND)]),
                ("of each consumer", [(named(ALLOCATION), "purge"), (named(ALLOCATION, consumer=MIGRATION), "purge")],
                 [named(ALLOCATION), named(ALLOCATION, consumer=MIGRATION)]),
                ("not what was put back since", [(rows, "purge"), (again, "restore")], []),
                ("what was purged after that", [(rows, "restore"), (again, "purge")], [again]),
                ("also if a restore began and did not end", [(rows, "purge"), (again, "restoring")], [rows]),
                ("whatever was only told since", [(rows, "purge"), (again, "deleted"), (named(ROWS, 10), "record")], [rows]),
                ("a domain that was put back on another host", [(domain, "purge"), (named(DOMAIN, 1, host="c2"), "restore")], [domain]),
                ("no definition", [(domain, "definition")], [])):
            with self.subTest(why):
                self.assertEqual(wanted, [file["name"] for file in judged(*written) if file["put_back"]])

    def test_what_was_saved_comes_back_only_with_its_rows_or_to_an_instance_that_lives(self):
        saved = (named(ALLOCATION, consumer=MIGRATION), "saved")
        living = [{"instance_uuid": FIRST, "verdict": "zombie", "instance": {"uuid": FIRST, "migrations": []}}]
        for why, written, now, wanted in (("alone", [], NOW, False),
                                          ("with the rows", [(named(ROWS), "purge")], NOW, True),
                                          ("with rows that were deleted already", [(named(ROWS), "deleted")], NOW, False),
                                          ("with rows that were put back", [(named(ROWS), "purge"), (named(ROWS, 1), "restore")], NOW, False),
                                          ("with another's rows", [(named(ROWS, instance=SECOND), "purge")], NOW, False),
                                          ("with an allocation", [(named(ALLOCATION), "purge")], NOW, False),
                                          ("to one that lives", [], living, True),
                                          ("before Nova was asked", [], [], False),
                                          ("to one of which Nova tells nothing", [], [{"failed": True, "instance_uuid": FIRST}], False)):
            with self.subTest(why):
                file = next(file for file in judged(saved, *written, now=now) if file["kind"] == "saved")
                self.assertEqual((wanted, not wanted), (file["put_back"], file["unowned"]))

    def test_what_is_not_put_back_is_not_unowned_if_it_was_put_back_since(self):
        self.assertEqual([(False, False)] * 2, [(file["put_back"], file["unowned"]) for file in judged((named(ALLOCATION), "saved"),
                                                                                                      (named(ALLOCATION, 1), "restore"))])


class Refusing(unittest.TestCase):
    def test_what_cannot_be_restored_is_told_with_the_way_out(self):
        domain, unknown = (named(DOMAIN, host="c1"), "purge"), (named(DOMAIN, host="lost", instance=SECOND), "purge")
        lacking = "lost not in the inventory: add it, or leave domains out: -e restore_orphan_domain=false"
        for why, written, more, wanted in (
                ("nothing", [domain], {}, []),
                ("an empty folder", [], {}, ["~/x has no backups: it takes the folder of an instance or of a run that purge_orphan.yml made"]),
                ("kinds that are not said", [(named(ROWS), "1"), (named(ALLOCATION), "")], {},
                 [f"{named(ROWS)}, {named(ALLOCATION)} does not say what kind of backup it is"]),
                ("an unknown host", [domain, unknown], {}, [lacking]),
                ("an unknown host, once", [unknown, (named(DOMAIN, host="lost"), "purge")], {}, [lacking]),
                ("an unknown host whose domain is left out", [unknown], {"domains": False}, []),
                ("an unknown host whose domain does not come back", [(named(DOMAIN, host="lost"), "definition")], {}, []),
                ("an unknown controller", [(named(ROWS, host="lost"), "purge")], {}, []),
                ("too many", [domain, unknown], {"hosts": ["c1", "lost"], "max_instances": 1}, ["2 instances: say -e max_instances=2"]),
                ("all at once", [(named(ROWS), ""), unknown], {"max_instances": 0},
                 [f"{named(ROWS)} does not say what kind of backup it is", lacking, "2 instances: say -e max_instances=2"])):
            with self.subTest(why):
                arguments = {"folder": "~/x", "domains": True, "hosts": ["c1"], "max_instances": "2"}
                self.assertEqual(wanted, list(plugin.unfit(judged(*written), **{**arguments, **more})))

    def test_a_file_is_its_instances_or_one_of_that_instances_migrations(self):
        for why, file, refused in (("the instance's", named(ROWS), False),
                                   ("an allocation of its migration", named(ALLOCATION, consumer=MIGRATION), False),
                                   ("an allocation of a stranger", named(ALLOCATION, consumer=OTHER), True),
                                   ("the rows of its migration", named(ROWS, consumer=MIGRATION), True),
                                   ("another's domain", named(DOMAIN, consumer=SECOND), True),
                                   ("an allocation of one without rows, which Placement judges", named(ALLOCATION, instance=SECOND, consumer=OTHER), False),
                                   ("rows of one without rows", named(ROWS, instance=SECOND, consumer=OTHER), True)):
            with self.subTest(why):
                self.assertEqual([file] if refused else [], plugin.of_another(judged((file, "purge"), now=NOW), NOW))
        self.assertEqual([], plugin.of_another(judged((named(ROWS, consumer=OTHER), "record"), now=NOW), NOW))


if __name__ == "__main__":
    unittest.main()
