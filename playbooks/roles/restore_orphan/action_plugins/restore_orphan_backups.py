"""Finds the backups in a folder on the control node, of an instance or of a run, to which purge_orphan.yml copied them, and judges which are put back.

Of a file only its name is taken, INSTANCE/HOST/CONSUMER/TIME-MODULE.json, and what kind of backup it says that it is (internal/backup/backup.go, Kind).
"""

import os
import re

from ansible.plugins.action import ActionBase

UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
FILE = "[0-9]{8}T[0-9]{6}[.][0-9]+Z-(nova_instance_purge|placement_allocation|libvirt_undefine)[.]json"
PARTS = [re.compile(part) for part in (UUID, "[A-Za-z0-9._-]+", UUID, FILE)]
HEAD = re.compile(rb'[{]\s*"format": *[0-9]+,\s*"kind": *"([a-z_]+)"')

LIVING = ("live", "busy", "stuck", "zombie")


def find(folder):
    """The folder of one instance is that of a run of one."""
    if not os.path.isdir(folder):
        return []
    return below(folder, PARTS[1:] if PARTS[0].fullmatch(os.path.basename(folder)) else PARTS)


def below(folder, parts):
    """Links are followed to folders only, as a run has them to its instances."""
    for entry in os.scandir(folder):
        if parts[0].fullmatch(entry.name):
            if parts[1:] and entry.is_dir():
                yield from below(entry.path, parts[1:])
            elif not parts[1:] and entry.is_file(follow_symlinks=False):
                yield entry.path


def describe(path, content):
    instance, host, consumer, file = parts = path.split("/")[-4:]
    head = HEAD.match(content)
    return {"path": path, "name": "/".join(parts), "module": PARTS[3].fullmatch(file)[1], "instance": instance, "host": host, "consumer": consumer,
            "kind": head[1].decode() if head else ""}


def judge(described, now):
    """In the order in which they were written, whether each is put back; now is what Nova has of the instances."""
    files = sorted(described, key=lambda file: (os.path.basename(file["path"]), file["name"]))
    # Of each module the newest of a consumer, on whichever controller, and of a domain on its host, unless it was put back since.
    newest = {(file["module"], file["instance"], file["consumer"], file["host"] if file["module"] == "libvirt_undefine" else ""): file
              for file in files if file["kind"] in ("purge", "saved", "restore")}
    going = [file for file in newest.values() if file["kind"] != "restore"]
    # What others were to take away comes back with the rows of its instance, or if Nova has that: else it would be left over again.
    owners = {file["instance"] for file in going if file["kind"] == "purge" and file["module"] == "nova_instance_purge"}
    owners.update(entry["instance_uuid"] for entry in now if entry.get("verdict") in LIVING)
    unowned = {file["name"] for file in going if file["kind"] == "saved" and file["instance"] not in owners}
    put_back = {file["name"] for file in going} - unowned
    return [dict(file, put_back=file["name"] in put_back, unowned=file["name"] in unowned) for file in files]


def unfit(files, folder, domains, hosts, max_instances):
    """Why they cannot be restored, as far as the control node can tell."""
    nameless = ", ".join(file["name"] for file in files if not file["kind"])
    named = dict.fromkeys(file["host"] for file in files if domains and file["put_back"] and file["module"] == "libvirt_undefine")
    lacking = ", ".join(host for host in named if host not in hosts)
    many = len({file["instance"] for file in files})
    if not files:
        yield f"{folder} has no backups: it takes the folder of an instance or of a run that purge_orphan.yml made"
    if nameless:
        yield f"{nameless} does not say what kind of backup it is"
    if lacking:
        yield f"{lacking} not in the inventory: add it, or leave domains out: -e restore_orphan_domain=false"
    # Up to ansible-core 2.18 what a template makes is text.
    if many > int(max_instances):
        yield f"{many} instances: say -e max_instances={many}"


def of_another(files, now):
    """The names of those that are neither of their instance nor of one of its migrations."""
    migrations = {(row["uuid"], migration["uuid"]) for row in (entry.get("instance") for entry in now) if row for migration in row["migrations"]}
    # Where there is no row any more, Nova tells of no migrations: then Placement judges.
    rowless = [entry["instance_uuid"] for entry in now if not entry.get("instance")]
    return [file["name"] for file in files if file["put_back"] and file["consumer"] != file["instance"] and not (
        file["module"] == "placement_allocation" and (file["instance"] in rowless or (file["instance"], file["consumer"]) in migrations))]


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        now = args.pop("now")
        try:
            # Ansible's own reader also reads what a vault holds.
            described = [describe(path, self._loader._get_file_contents(path)[0]) for path in find(os.path.realpath(os.path.expanduser(args["folder"])))]
        except OSError as error:
            return {"failed": True, "msg": str(error)}
        if now:
            # What a purge has added meanwhile was neither counted, nor was Nova asked for it.
            asked = [entry["instance_uuid"] for entry in now]
            described = [file for file in described if file["instance"] in asked]
        files = judge(described, now)
        if now:
            others = ", ".join(of_another(files, now))
            refusal = others and f"Nothing was changed: {others} would put back what is of another than its instance and migrations"
        else:
            against = "; ".join(unfit(files, **args))
            refusal = against and f"Nothing was read or changed on any host: {against}"
        # A failure is shown with all that is answered: not with the files.
        answer = {"changed": False, "instances": sorted({file["instance"] for file in files})}
        return dict(answer, failed=True, msg=refusal) if refusal else dict(answer, files=files)
