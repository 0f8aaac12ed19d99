"""The collection that `make dist` has built, on the oldest and the newest ansible-core, where there is nothing else. Run by `make dist-test`."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
ARTIFACT, = DIST.glob("*.tar.gz")
COLLECTION = "nova_orphan.openstack"
MODULES = sorted(path.name for path in (ROOT / "modules").iterdir())
LIBVIRT = ["libvirt_domain_info", "libvirt_undefine", "nova_compute_restart"]
ROLES = sorted(path.name for path in (ROOT / "playbooks/roles").iterdir())
EMULATOR = ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"]
UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"

# What Ansible takes for the shell of a host of another architecture: it also counts what the host is asked.
SHELL = r"""#!/bin/bash
printf '%s\n' "$2" >>{log}
exec /bin/bash -c "$(sed -E 's#uname -sm#echo "{machine}"#; /^chmod /!s#(/[^ ]*/AnsiballZ_[^ ]+ /[^ ]*/args)#{emulator} \1#' <<<"$2")"
"""


def run(*command, status=0, **more):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **more)
    if status is not None and done.returncode != status:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


class Core:
    """An ansible-core with an empty home, and that collection only."""

    def __init__(self, name, folder):
        self.bin, self.folder = ROOT / ".cache" / name / "bin", folder
        for part in ("home", "here", "collections"):
            (folder / part).mkdir(parents=True)
        self.environment = {"HOME": str(folder / "home"), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1",
                            "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"), "COLUMNS": "500",
                            # Ansible itself looks for it in the home that the password file names.
                            "ANSIBLE_ASYNC_DIR": str(folder / "home/.ansible_async")}
        self.installed = self.call("ansible-galaxy", "collection", "install", ARTIFACT)
        self.plugins = folder / "collections/ansible_collections" / COLLECTION.replace(".", "/") / "plugins"

    def call(self, program, *arguments, status=0, **environment):
        return run(self.bin / program, *arguments, status=status, cwd=self.folder / "here", env=self.environment | environment)

    def answer(self, *arguments, status=2):
        """Of an ad-hoc call on localhost."""
        said = self.call("ansible", "localhost", *arguments, status=status).stdout
        return json.loads(re.search(r"^localhost \| \S+ => ([{].*^[}])", said, re.DOTALL | re.MULTILINE)[1])

    def play(self, play, hosts, *arguments, status=0):
        (self.folder / "play.json").write_text(json.dumps(play))
        return self.playbook(self.folder / "play.json", hosts, *arguments, status=status)

    def playbook(self, name, hosts, *arguments, status=0):
        (self.folder / "inventory.json").write_text(json.dumps(hosts))
        return self.call("ansible-playbook", "-i", self.folder / "inventory.json", name, *arguments, status=status).stdout

    def host(self, name, machine="Linux x86_64", emulator="", **variables):
        """One whose shell keeps in the file NAME what it was asked."""
        shell = self.folder / f"{name}-shell"
        shell.write_text(SHELL.format(log=self.folder / name, machine=machine, emulator=emulator))
        shell.chmod(0o755)
        (self.folder / name).write_text("")
        return {name: {"ansible_connection": "local", "ansible_shell_executable": str(shell), "ansible_python_interpreter": sys.executable,
                       "ansible_become": False, **variables}}

    def asked(self, name):
        return (self.folder / name).read_text().count("uname -sm")


def arm64(core, name="arm64", **variables):
    return core.host(name, "Linux aarch64", " ".join(EMULATOR), **variables)


class TheCollection:
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.core = Core(cls.ansible, pathlib.Path(folder.name))

    def test_is_installed_by_one_command(self):
        core = self.core
        self.assertIn("was installed successfully", core.installed.stdout)
        self.assertNotIn("WARNING", core.installed.stderr)

    def test_is_smaller_than_60_mb(self):
        self.assertLess(ARTIFACT.stat().st_size, 60_000_000)

    def test_documents_each_module_and_role(self):
        core = self.core
        listed = core.call("ansible-doc", "--list", "--json", COLLECTION)
        self.assertEqual([f"{COLLECTION}.{module}" for module in MODULES], sorted(json.loads(listed.stdout)))
        shown = core.call("ansible-doc", "--json", *(f"{COLLECTION}.{module}" for module in MODULES))
        for module in MODULES:
            self.assertTrue(json.loads(shown.stdout)[f"{COLLECTION}.{module}"]["doc"]["options"], module)
        roles = core.call("ansible-doc", "--type=role", "--json", *(f"{COLLECTION}.{role}" for role in ROLES))
        for role in ROLES:
            self.assertTrue(json.loads(roles.stdout)[f"{COLLECTION}.{role}"]["entry_points"]["main"]["options"], role)
        self.assertEqual(["", "", ""], [listed.stderr, shown.stderr, roles.stderr])

    def test_calls_each_module_by_its_full_name(self):
        core = self.core
        for module in MODULES:
            self.assertIn(f"Unsupported parameters for ({module}) module: nonsense",
                          core.answer("-m", f"{COLLECTION}.{module}", "-a", "nonsense=1")["msg"])

    def test_answers_as_the_binary_alone_does(self):
        core = self.core
        alone = core.folder / "alone"
        shutil.copytree(core.plugins / "modules/__linux_amd64", alone)
        for module, says, *arguments in (
            ("placement_allocation", "/nonexistent", "-a", f"consumer={UUID} nova_conf=/nonexistent", "--check", "--diff"),
            ("placement_allocation", "/nonexistent", "-a", f"consumer={UUID} nova_conf=/nonexistent", "-B", "20", "-P", "1"),
            ("libvirt_domain_info", "libvirt.so.0"),
        ):
            one, other = (core.answer("-m", name, "-M", alone, *arguments) for name in (f"{COLLECTION}.{module}", module))
            for answer in (one, other):
                for key in ("ansible_job_id", "results_file", "ansible_facts"):
                    answer.pop(key, None)
            self.assertEqual(one, other)
            self.assertIn(says, one["msg"])

    def test_takes_defaults_by_group(self):
        core = self.core
        said = core.play([{
            "hosts": "localhost", "gather_facts": False, "module_defaults": {f"group/{COLLECTION}.libvirt": {"uri": "qemu:///of-the-group"}},
            "tasks": [{f"{COLLECTION}.libvirt_domain_info": {}}]}], {}, status=2)
        self.assertIn("qemu:///of-the-group", said)

    def test_chooses_the_binary_by_the_host_and_asks_once(self):
        info, purge = f"{COLLECTION}.libvirt_domain_info", f"{COLLECTION}.nova_instance_purge"
        calls = [{info: {}, "register": "loaded"}, {purge: {"nonsense": 1}, "register": "refused"},
                 {purge: {"nonsense": 1}, "delegate_to": "arm64", "register": "delegated"},
                 {purge: {"nonsense": 1}, "loop": [1, 2], "register": "looped"}, {info: {}, "check_mode": True, "register": "checked"},
                 {info: {}, "async": 20, "poll": 1, "register": "later", "when": "inventory_hostname != 'arm64'"}]
        core = self.core
        hosts = {"all": {"hosts": core.host("amd64") | arm64(core)}}
        core.play([{"hosts": "all", "gather_facts": False, "tasks": [
            *(call | {"failed_when": False} for call in calls),
            {"ansible.builtin.assert": {"that": [
                "'libvirt.so.0' in loaded.msg", "'libvirt.so.0' in checked.msg", "'nonsense' in refused.msg", "'nonsense' in delegated.msg",
                "looped.results | map(attribute='msg') | select('search', 'nonsense') | length == 2",
                "later is skipped or 'libvirt.so.0' in later.msg"], "fail_msg": "{{ later | string }}"}}]}], hosts)
        self.assertEqual([1, 1], [core.asked("amd64"), core.asked("arm64")])

    def test_asks_no_host_that_has_facts(self):
        core = self.core
        hosts = {"all": {"hosts": core.host("amd64") | arm64(core)}}
        core.play([{"hosts": "all", "gather_facts": False, "tasks": [
            {"ansible.builtin.set_fact": {"cacheable": True, "system": "Linux",
                                          "architecture": "{{ {'amd64': 'x86_64', 'arm64': 'aarch64'}[inventory_hostname] }}"}},
            *({f"{COLLECTION}.nova_orphan_info": {"nonsense": 1}, "register": "refused", "failed_when": "'nonsense' not in refused.msg", **more}
              for more in ({}, {"delegate_to": "arm64"}, {"delegate_to": "amd64"}))]}], hosts)
        self.assertEqual([0, 0], [core.asked("amd64"), core.asked("arm64")])

    def test_refuses_a_host_that_it_has_no_binary_for(self):
        core = self.core
        said = core.play([{"hosts": "all", "gather_facts": False, "tasks": [{f"{COLLECTION}.nova_orphan_info": {}}]}],
                         {"all": {"hosts": core.host("other", "Linux riscv64")}}, status=2)
        self.assertIn("the host is 'Linux riscv64' by uname -sm", said)

    def test_playbooks_are_called_by_their_names(self):
        core = self.core
        for playbook, more in (("audit_orphans", []), ("purge_orphan", ["-e", f"instance_uuid={UUID}"]), ("restore_orphan", ["-e", "backup=/b"])):
            said = core.playbook(f"{COLLECTION}.{playbook}", {"compute": {"hosts": core.host("compute1")}}, *more, status=2)
            self.assertIn("No controller is in the inventory", said)

    def test_an_audit_asks_hypervisors_of_both_architectures(self):
        core = self.core
        said = core.playbook(f"{COLLECTION}.audit_orphans", {
            "controller": {"hosts": core.host("amd64", audit_orphans_nova_conf="/nonexistent/nova.conf")}, "compute": {"hosts": arm64(core)}},
            "-v", status=2)
        self.assertRegex(said, r"(?s)TASK.*List the hypervisor's domains.*arm64.*libvirt\.so\.0")
        self.assertIn("/nonexistent/nova.conf", said.partition("Find what is left of instances")[2])
        self.assertEqual([1, 1], [core.asked("amd64"), core.asked("arm64")])


class OnTheOldest(TheCollection, unittest.TestCase):
    ansible = "oldest"


class OnTheNewest(TheCollection, unittest.TestCase):
    ansible = "newest"


class TheBinaries(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        with tarfile.open(ARTIFACT) as artifact:
            artifact.extractall(cls.folder)
        cls.of = {architecture: cls.folder / f"plugins/modules/__linux_{architecture}" for architecture in ("amd64", "arm64")}

    def test_run_on_arm64(self):
        arguments = self.folder / "arguments"
        for module in MODULES:
            arguments.write_text('{"nonsense": 1}')
            answer = json.loads(run(*EMULATOR, self.of["arm64"] / module, arguments, status=1).stdout)
            self.assertIn(f"Unsupported parameters for ({module}) module: nonsense", answer["msg"])

    def test_load_the_library_on_arm64(self):
        arguments = self.folder / "arguments"
        for module, given in zip(LIBVIRT, ({}, {"uuid": UUID, "_ansible_check_mode": True}, {"reap": [UUID], "state": "reaped", "log_since": "/l@1+1"})):
            arguments.write_text(json.dumps(given))
            self.assertIn("libvirt.so.0", run(*EMULATOR, self.of["arm64"] / module, arguments, status=1).stdout, module)

    def test_are_named_in_full_by_the_roles(self):
        # module_defaults find nothing by a short name.
        modules = "|".join(path.name for path in (ROOT / "modules").iterdir())
        for path in self.folder.glob("roles/*/tasks/*.yml"):
            self.assertEqual([], re.findall(rf"^ +(?:- )?((?:{modules}):.*)", path.read_text(), re.MULTILINE), path)

    def test_want_no_newer_libc_than_that_of_rhel_8(self):
        for folder in self.of.values():
            for module in LIBVIRT:
                wanted = re.findall(r"GLIBC_([\d.]+)", run("readelf", "--version-info", folder / module).stdout)
                self.assertTrue(wanted)
                self.assertLessEqual(max(tuple(map(int, version.split("."))) for version in wanted), (2, 28))
            for module in set(MODULES) - set(LIBVIRT):
                self.assertIn("no dynamic section", run("readelf", "--dynamic", folder / module).stdout)

    def test_say_what_they_were_built_from(self):
        revision = run("git", "-C", ROOT, "rev-parse", "HEAD").stdout.strip()
        for architecture, folder in self.of.items():
            for module in MODULES:
                said = run("go", "version", "-m", folder / module).stdout
                for wanted in (f"GOARCH={architecture}", f"vcs.revision={revision}", "vcs.modified=false", "-trimpath=true"):
                    self.assertIn(wanted, said)


class TheFolder(unittest.TestCase):
    def test_has_checksums(self):
        run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=DIST)
        self.assertEqual({path.name for path in DIST.iterdir()} - {"SHA256SUMS"}, set((DIST / "SHA256SUMS").read_text().split()[1::2]))

    def test_has_a_bill_of_what_the_binaries_have(self):
        bill, = DIST.glob("*.cdx.json")
        names = {component["name"] for component in json.loads(bill.read_text())["components"]}
        self.assertTrue({"std", "github.com/gophercloud/gophercloud/v2", "libvirt.org/go/libvirt"} <= names, names)
        self.assertFalse({"github.com/google/go-cmp", "github.com/rogpeppe/go-internal"} & names, names)

    def test_is_the_same_if_it_is_built_elsewhere(self):
        with tempfile.TemporaryDirectory() as elsewhere:
            run("git", "clone", "--quiet", ROOT, f"{elsewhere}/again")
            os.symlink(ROOT / ".cache", f"{elsewhere}/again/.cache")
            run("tools/dist", os.environ["TAGS"], cwd=f"{elsewhere}/again")
            self.assertEqual((DIST / "SHA256SUMS").read_text(), pathlib.Path(elsewhere, "again/dist/SHA256SUMS").read_text())


class TheRelease(unittest.TestCase):
    """Where there is nothing built: what a tag and the changelog must be before that."""

    def refusal(self, tag, heading, *commands):
        with tempfile.TemporaryDirectory() as folder:
            run("git", "clone", "--quiet", ROOT, folder)
            changelog = pathlib.Path(folder, "CHANGELOG.md")
            changelog.write_text(re.sub(r"^## .*", heading, changelog.read_text(), count=1, flags=re.MULTILINE))
            for command in (["add", "."], ["commit", "--quiet", "--allow-empty", "--message=Release"], *commands):
                run("git", "-C", folder, "-c", "user.name=t", "-c", "user.email=t@example.com", *command)
            return run("tools/release", tag, cwd=folder, status=1).stderr

    def test_wants_tag_and_changelog_to_agree(self):
        for tag, heading, commands, why in (
            ("v0.1.0", "## 0.1.0 (unreleased)", [["tag", "v0.1.0"]], "CHANGELOG.md begins with 0.1.0 (unreleased)"),
            ("v0.1.1", "## 0.1.0 (2026-12-01)", [["tag", "v0.1.1"]], "CHANGELOG.md begins with 0.1.0 (2026-12-01)"),
            ("0.1.0", "## 0.1.0 (2026-12-01)", [["tag", "0.1.0"]], "0.1.0 is no tag of a release"),
            ("v0.1.0", "## 0.1.0 (2026-12-01)", [], "there is no tag v0.1.0"),
            ("v0.1.0", "## 0.1.0 (2026-12-01)", [["tag", "v0.1.0", "HEAD~"]], "v0.1.0 is not the commit that is checked out"),
            ("v0.1.0", "## 0.1.0 (2026-12-01)", [["tag", "v0.1.0"]], "dist has no collection of 0.1.0"),
        ):
            with self.subTest(why):
                self.assertIn(why, self.refusal(tag, heading, *commands))


if __name__ == "__main__":
    unittest.main()
