"""The copies of the backups: what is taken of a host's archive, and the task with a real folder, on the oldest and the newest ansible-core.

Run by `make play-test`, with the Python of an ansible-core."""

import base64
import gzip
import importlib.util
import io
import json
import os
import pathlib
import random
import stat
import subprocess
import tarfile
import tempfile
import unittest
from unittest import mock

ROLE = pathlib.Path(__file__).resolve().parents[1]
ROOT = ROLE.parents[2]
CORES = [ROOT / ".cache" / core / "bin" for core in ("oldest", "newest")]
spec = importlib.util.spec_from_file_location("purge_orphan_backups", ROLE / "action_plugins" / "purge_orphan_backups.py")
plugin = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plugin)

FIRST, SECOND, MIGRATION, OTHER = ("%08d-0000-4000-8000-000000000000" % n for n in range(1, 5))
CONSUMERS_OF = {FIRST: [FIRST, MIGRATION], SECOND: [SECOND]}
INSTANCE_OF = {FIRST: FIRST, MIGRATION: FIRST, SECOND: SECOND}
ROWS, DOMAIN = "20260101T000000.000000Z-nova_instance_purge.json", "20260101T000001.000000Z-libvirt_undefine.json"


def archive(*members):
    """Of pairs of a name and a content, or of a name and what is special about it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, dict):
                for key, value in content.items():
                    setattr(member, key, value)
                tar.addfile(member)
            else:
                member.size, member.mode = len(content), 0o4777
                tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def text(packed):
    return base64.encodebytes(packed).decode().replace("\n", "\r\n")


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()
        self.copy = self.folder / "parent" / "copies"


class Unpacking(Folder):
    def unpack(self, *members, **more):
        plugin.unpack(text(archive(*members)), self.copy, "compute1", INSTANCE_OF, **more)

    def test_a_file_comes_into_its_instances_folder_and_is_its_owners_only(self):
        self.unpack((FIRST, {"type": tarfile.DIRTYPE}), (f"{FIRST}/{ROWS}", b"rows"), (f"{MIGRATION}/{ROWS}", b"allocation"))
        self.assertEqual({f"{FIRST}/compute1/{FIRST}/{ROWS}": b"rows", f"{FIRST}/compute1/{MIGRATION}/{ROWS}": b"allocation"}, files(self.copy))
        for path in [self.copy.parent, self.copy, *self.copy.rglob("*")]:
            self.assertEqual(0o700 if path.is_dir() else 0o600, stat.S_IMODE(path.stat().st_mode), path)

    def test_of_a_run_over_several_a_folder_leads_to_those_of_whom_there_is_something(self):
        for _ in range(2):
            self.unpack((f"{MIGRATION}/{ROWS}", b"allocation"), run="RUN")
        self.assertEqual([FIRST], [link.name for link in (self.copy / "RUN").iterdir()])
        self.assertEqual(f"../{FIRST}", os.readlink(self.copy / "RUN" / FIRST))
        self.assertTrue((self.copy / "RUN" / FIRST / "compute1" / MIGRATION / ROWS).is_file())

    def test_nothing_else_leaves_the_archive(self):
        link = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}
        for why, *member in (
                ("a consumer that was not asked for", f"{OTHER}/{ROWS}", b"x"),
                ("a file above", f"{FIRST}/../{ROWS}", b"x"),
                ("a folder above", f"../{FIRST}/{ROWS}", b"x"),
                ("an absolute name", f"/{FIRST}/{ROWS}", b"x"),
                ("an absolute name in a folder", f"{FIRST}//{self.folder}/x.json", b"x"),
                ("a file further below", f"{FIRST}/{FIRST}/{ROWS}", b"x"),
                ("a file beside the folders", ROWS, b"x"),
                ("a file of no folder", f"/{ROWS}", b"x"),
                ("a name with an end of line", f"{FIRST}/{ROWS}\n", b"x"),
                ("a hidden file", f"{FIRST}/.x.json", b"x"),
                ("a partial file", f"{FIRST}/.partial-1", b"x"),
                ("another file", f"{FIRST}/x", b"x"),
                ("a file in the consumer's place", FIRST, b"x"),
                ("a link", f"{FIRST}/{ROWS}", link),
                ("a link to a folder", FIRST, {"type": tarfile.SYMTYPE, "linkname": str(self.folder)}),
                ("a hard link", f"{FIRST}/{ROWS}", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}),
                ("a device", f"{FIRST}/{ROWS}", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5}),
                ("a block device", f"{FIRST}/{ROWS}", {"type": tarfile.BLKTYPE}),
                ("a pipe", f"{FIRST}/{ROWS}", {"type": tarfile.FIFOTYPE}),
                ("a folder", f"{FIRST}/{ROWS}", {"type": tarfile.DIRTYPE}),
                ("a sparse file", f"{FIRST}/{ROWS}", {"pax_headers": {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 60)}})):
            with self.subTest(why):
                self.unpack(member, run="RUN")
                self.assertEqual([], list(self.folder.iterdir()))

    def test_what_comes_after_a_link_to_elsewhere_does_not_follow_it(self):
        (self.folder / "elsewhere").mkdir()
        self.unpack((FIRST, {"type": tarfile.SYMTYPE, "linkname": str(self.folder / "elsewhere")}), (f"{FIRST}/{ROWS}", b"rows"))
        self.assertEqual({f"parent/copies/{FIRST}/compute1/{FIRST}/{ROWS}": b"rows"}, files(self.folder))

    def test_a_hypervisor_gives_its_own_modules_files_only(self):
        self.unpack((f"{FIRST}/{ROWS}", b"x"), (f"{FIRST}/{DOMAIN}", b"domain"), (f"{FIRST}/{DOMAIN}-nova_instance_purge.json", b"x"),
                    module="libvirt_undefine")
        self.assertEqual([f"{FIRST}/compute1/{FIRST}/{DOMAIN}"], list(files(self.copy)))

    def test_a_file_that_is_there_is_replaced_and_a_link_in_its_place_not_followed(self):
        self.unpack((f"{FIRST}/{ROWS}", b"old"), (f"{FIRST}/{DOMAIN}", b"domain"))
        elsewhere = self.folder / "elsewhere"
        elsewhere.write_bytes(b"elsewhere")
        there = self.copy / FIRST / "compute1" / FIRST
        (there / DOMAIN).unlink()
        (there / DOMAIN).symlink_to(elsewhere)
        self.unpack((f"{FIRST}/{ROWS}", b"new"), (f"{FIRST}/{DOMAIN}", b"domain"))
        self.assertEqual({ROWS: b"new", DOMAIN: b"domain"}, files(there))
        self.assertEqual(b"elsewhere", elsewhere.read_bytes())

    def test_what_cannot_be_written_is_an_error_and_leaves_the_old_file_and_nothing_partial(self):
        self.unpack((f"{FIRST}/{ROWS}", b"old"))
        with mock.patch.object(plugin.shutil, "copyfileobj", side_effect=OSError(28, "No space left on device")), self.assertRaises(OSError):
            self.unpack((f"{FIRST}/{ROWS}", b"new"))
        self.assertEqual({f"{FIRST}/compute1/{FIRST}/{ROWS}": b"old"}, files(self.copy))

    def test_nothing_is_taken_of_an_archive_that_is_not_whole(self):
        # What does not compress, so that its end is one of the stream.
        whole = archive((f"{FIRST}/{ROWS}", random.Random(1).randbytes(1 << 20)), (f"{SECOND}/{ROWS}", b"x"))
        damaged = bytearray(whole)
        damaged[len(whole) // 2] ^= 1
        truncated = gzip.compress(gzip.decompress(whole)[:1 << 19])
        for why, packed in (("cut off", text(whole[:-20])), ("without its checksum", text(whole[:-8])), ("damaged", text(bytes(damaged))),
                            ("no archive", text(b"x" * 99)), ("a tar that is cut off", text(truncated)), ("no tar", text(gzip.compress(b"x" * 9999))),
                            ("not base64", text(whole)[:-100] + "\r\nBroadcast message from root@h\r\n" + text(whole)[-100:]), ("not ASCII", "\u00e4")):
            with self.subTest(why):
                with self.assertRaises((OSError, EOFError, ValueError, plugin.zlib.error, tarfile.TarError)):
                    plugin.unpack(packed, self.copy, "compute1", INSTANCE_OF)
                self.assertEqual({}, files(self.folder))

    def test_what_is_larger_than_any_backup_is_an_error(self):
        for limit in ("LARGEST_FILE", "LARGEST_ARCHIVE"):
            with mock.patch.object(plugin, limit, 1 << 10), self.assertRaisesRegex(ValueError, "has more than"):
                self.unpack((f"{FIRST}/{ROWS}", bytes(4 << 20)))
            self.assertEqual({}, files(self.folder))


class Task(Folder):
    def copied(self, core, hosts, consumers_of=None):
        """What is told as not copied."""
        found = {"instances": [{"uuid": uuid, "consumers": consumers, "hosts": [{"host": host} for host in hosts if host != "controller"]}
                               for uuid, consumers in (consumers_of or CONSUMERS_OF).items()]}
        (self.folder / "playbook.yml").write_text(json.dumps([{"hosts": "controller", "gather_facts": False, "vars": {
            "purge_orphan_backup_dir": str(self.folder / "backups"), "purge_orphan_backup_copy": str(self.copy), "purge_orphan_record": {"refused": False},
            "purge_orphan_found": found, "purge_orphan_run": "RUN"}, "tasks": [
                {"ansible.builtin.include_role": {"name": str(ROLE), "tasks_from": "backups.yml"}},
                {"ansible.builtin.copy": {"content": "{{ purge_orphan_not_copied }}", "dest": str(self.folder / "told"), "mode": "0600"}}]}]))
        (self.folder / "inventory.yml").write_text(json.dumps({"all": {
            "vars": {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": "{{ ansible_playbook_python }}"},
            "hosts": hosts}}))
        run = subprocess.run([core / "ansible-playbook", "-vvv", "-i", self.folder / "inventory.yml", self.folder / "playbook.yml"],
                             env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
                             capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(0, run.returncode, run.stdout[-3000:] + run.stderr[-3000:])
        self.assertNotIn("H4sI", run.stdout)
        return (self.folder / "told").read_text()

    def backup(self, consumer, name, content):
        folder = self.folder / "backups" / consumer
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)

    def test_the_backups_of_all_hosts_come_to_the_control_node(self):
        for consumer in (FIRST, SECOND, OTHER):
            self.backup(consumer, ROWS, "rows of " + consumer)
            self.backup(consumer, DOMAIN, "domain of " + consumer)
        self.backup(FIRST, ".partial-1", "")
        for core in CORES:
            with self.subTest(core):
                self.assertEqual("", self.copied(core, {"controller": {}, "compute1": {}}))
                wanted = {f"{uuid}/{host}/{uuid}/{name}" for uuid in (FIRST, SECOND) for host, name in
                          (("controller", ROWS), ("controller", DOMAIN), ("compute1", DOMAIN))}
                self.assertEqual(wanted, set(files(self.copy)))
                self.assertEqual("rows of " + SECOND, (self.copy / "RUN" / SECOND / "controller" / SECOND / ROWS).read_text())
            subprocess.run(["rm", "-r", self.copy.parent], check=True)

    def test_where_nothing_was_written_down_nothing_is_copied(self):
        for core in CORES:
            with self.subTest(core):
                self.assertEqual("", self.copied(core, {"controller": {}}))
                self.backup(OTHER, ROWS, "rows")
                self.assertEqual("", self.copied(core, {"controller": {}}))
                self.assertFalse(self.copy.exists())
            subprocess.run(["rm", "-r", self.folder / "backups"], check=True)

    def test_each_host_of_which_something_could_not_be_copied_is_told_with_why_and_ends_nothing(self):
        mark = self.folder / "mark"
        self.backup(FIRST, ROWS, "rows")
        bin_ = self.folder / "bin"
        bin_.mkdir()
        # Stands for the host's own, and says what a template would be.
        (bin_ / "tar").write_text("#!/bin/sh\necho \"{{ lookup('pipe', 'touch %s') }}\" >&2\nexit 3\n" % mark)
        (bin_ / "sh").write_text("#!/bin/sh\nPATH=%s:$PATH exec /bin/sh \"$@\"\n" % bin_)
        (bin_ / "silent").write_text("#!/bin/sh\nexec /bin/sh \"$@\" | head -n 2\n")
        for name in bin_.iterdir():
            name.chmod(0o700)
        hosts = {"broken": {"ansible_shell_executable": str(bin_ / "sh")}, "cut": {"ansible_shell_executable": str(bin_ / "silent")},
                 "dark": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}, "controller": {}}
        for core in CORES:
            with self.subTest(core):
                told = self.copied(core, hosts).split("; ")
                self.assertEqual(f"broken (( lookup('pipe', 'touch {mark}') )) tar ended with 3, copy its backups into {self.copy}: empty file", told[0])
                self.assertEqual("cut the answer ended too early", told[1])
                self.assertRegex(told[2], "^dark (Task failed: )?Failed to connect to the host via ssh")
                self.assertEqual(3, len(told))
                self.assertFalse(mark.exists())
                self.assertEqual([f"{FIRST}/controller/{FIRST}/{ROWS}"], list(files(self.copy)))
            subprocess.run(["rm", "-r", self.copy.parent], check=True)

    def test_what_cannot_be_written_here_is_told(self):
        self.backup(FIRST, ROWS, "rows")
        (self.folder / "parent").write_text("no folder")
        for core in CORES:
            with self.subTest(core):
                self.assertRegex(self.copied(core, {"controller": {}}), f"^controller copy its backups into {self.copy}: .*parent")

    def test_a_list_that_one_command_does_not_take_is_copied_whole(self):
        many = ["%08d-0000-4000-8000-000000000000" % n for n in range(4000)]
        for consumer in many[::1999]:
            self.backup(consumer, ROWS, "rows")
        self.assertEqual("", self.copied(CORES[0], {"controller": {}}, {uuid: [uuid] for uuid in many}))
        self.assertEqual(len(many[::1999]), len(files(self.copy)))


if __name__ == "__main__":
    unittest.main()
