"""Finds out which instances a purge is asked for: by their UUIDs, or by what an audit has found and its kinds, hosts and projects choose."""

import json
import os

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

# What an audit finds that a purge may take, once it has judged it again.
VERDICTS = ("stuck", "zombie", "deleted", "archived", "lost")


def choose(findings, kinds, hosts, projects):
    return [entry["uuid"] for entry in findings if entry["verdict"] in VERDICTS and (not kinds or entry.get("kind") in kinds)
            and (not projects or entry.get("project_id") in projects) and (not hosts or set(entry.get("hosts", [])) & set(hosts))]


def refusal(uuids, findings, max_instances):
    if not uuids:
        return f"No finding of {findings} is left by kinds, hosts and projects." if findings else "No instance is named."
    if len(set(uuids)) < len(uuids):
        return "An instance is named twice: each once."
    if len(uuids) > max_instances:
        return (f"{len(uuids)} instances are more than max_instances ({max_instances}). If all of them are meant, say -e "
                f"max_instances={len(uuids)}.")
    return ""


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        args = self._task.args
        given = [args[name] for name in ("instance_uuid", "instance_uuids", "findings") if name in args]
        if len(given) != 1 or not isinstance(args.get("instance_uuids", []), list):
            return self._refuse("""Say which instance with -e instance_uuid=UUID, or some with -e '{"instance_uuids": ["UUID", "UUID"]}', each once, or """
                                "those that an audit has found with -e findings=FILE, its orphans.json.")
        findings = args.get("findings", "")
        if findings:
            try:
                content, _ = self._loader._get_file_contents(os.path.expanduser(findings))
                uuids = choose(json.loads(content)["findings"], args["kinds"], args["hosts"], args["projects"])
            except (OSError, AnsibleError, ValueError, KeyError, TypeError) as error:
                return self._refuse(f"{findings} (findings) is no orphans.json of an audit: {error}.")
        else:
            uuids = given[0] if isinstance(given[0], list) else [given[0]]
        uuids = [str(uuid).strip().lower() for uuid in uuids]
        against = refusal(uuids, findings, int(args["max_instances"]))
        return self._refuse(against) if against else {"changed": False, "instances": uuids, "found": bool(findings)}

    def _refuse(self, why):
        return {"failed": True, "msg": f"{why} Nothing was read or changed."}
