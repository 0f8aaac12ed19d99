"""Keeps how far a purge has come: whom it leaves out, at which step and why, and what Nova's own ways have done.

What the task registers is the whole record, and what is registered is never a template, whatever a tenant or a host has chosen for its text.
"""

import re

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

try:
    from ansible.template import trust_as_template
except ImportError:  # up to ansible-core 2.18, which takes any text of a plugin for a template
    trust_as_template = str

EMPTY = {"stopped": {}, "refused": False, "ended": [], "tries": {}, "wrote": {}, "gone": []}


def answered(answer):
    """A module answers of each instance, consumer, domain or compute service; one that was killed, or never reached, of none."""
    return next((answer[key] for key in ("instances", "consumers", "domains", "services") if answer.get(key)), [])


def complaints(answer, uuids, instances_of, spares=None):
    """Pairs of an instance and why the step stops it. Where spares are given, what keeps nova-compute from a restart stops others, too."""
    if answer.get("skipped"):
        return
    entries = answered(answer)
    if not entries:
        yield from ((uuid, answer.get("msg") or "it gave no answer") for uuid in uuids)
    for entry in entries:
        of_it = [entry[key] for key in ("instance_uuid", "uuid") if key in entry] or instances_of(entry.get("consumer"), entry.get("host"))
        if entry.get("failed") and entry.get("outcome") != "still_there":
            yield from ((uuid, entry.get("msg") or "it gave no answer") for uuid in of_it)
        elif spares is not None:
            restart = entry.get("restart") or {"silent": "it was not told whether nova-compute may be restarted"}
            reasons = [why for why in map(restart.get, ("silent", "busy", "unreadable")) if why]
            yield from ((uuid, "; ".join(reasons)) for uuid in of_it if reasons and (restart.get("silent") or uuid not in spares))


def hosts_complaints(instances, hosts, part):
    """What the hosts have stopped, as the record of each has it, and what is on one that did not come to the end of its part."""
    for host in hosts.values():
        yield from ((uuid, stop["step"], stop["why"]) for uuid, stop in host.get("stopped", {}).items())
    late = [name for name, host in hosts.items() if part not in host.get("ended", [])]
    why = f"a host that may have something of it failed at this ({', '.join(late)}): see its output above"
    yield from ((entry["uuid"], part, why) for entry in instances for at in entry["hosts"] if at["host"] in late)


def guests(results, going, destroy):
    """Pairs of an instance and why a step that makes nova-compute power it off must not come: results are of libvirt_domain_info, of a host each."""
    for result in results:
        at, domains = result["purge_orphan_at"], result.get("domains")
        there = [entry["uuid"] for entry in going if any(place["host"] == at for place in entry["hosts"])]
        unread = "; ".join(result.get("unread", [result.get("msg") or "no answer"]))
        told = {domain["uuid"]: domain["state"] for domain in domains or []}
        for uuid in there:
            # A domain that cannot be read is only named there.
            if domains is None or uuid not in told and uuid in unread:
                yield uuid, f"{at} does not tell any more whether a guest of it runs ({unread})"
            elif told.get(uuid, "shutoff") != "shutoff" and not destroy:
                yield uuid, (f"a guest of it runs by now on {at}: whatever deletes the instance has nova-compute power it off. If it may go, "
                             "-e purge_orphan_destroy=true")


def added(record, found, args, answer):
    """The record with whom a step stops, of triples (instance, step, why), and with what it is told beside that. What stopped one first stands."""
    stopped = dict(record["stopped"])
    for uuid, step, why in found:
        stopped.setdefault(uuid, {"step": step, "why": why})
    record = dict(record, stopped=stopped, refused=record["refused"] or boolean(args.get("refused", False)), ended=record["ended"] + args.get("ended", []),
                  gone=record["gone"] + [uuid for uuid in args.get("gone", []) if uuid not in record["gone"]])
    if "way" in args:
        entries = answered(answer)
        tries = {entry["instance_uuid"]: entry.get("tries") or [] for entry in entries}
        wrote = {entry["instance_uuid"]: entry["server"]["updated"] for entry in entries if entry.get("changed") and entry.get("server")}
        record.update(tries=dict(record["tries"], **{args["way"]: tries}), wrote=dict(record["wrote"], **wrote))
    return record


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        args = self._task.args
        record = dict(EMPTY, **{key: value for key, value in task_vars.get(self._task.register, {}).items() if key in EMPTY})
        try:
            return {**self._added(record, args, task_vars), "changed": False}
        except Exception as error:  # whatever it is, what was known before is known after
            return dict(record, failed=True, msg=f"the record of the purge: {error!r}")

    def _added(self, record, args, task_vars):
        # A registered answer is given by its name: no template is made of what it says.
        answer = task_vars[args["answer"]] if "answer" in args else {}
        instances = task_vars.get("purge_orphan_found", {}).get("instances", [])
        going = [entry for entry in instances if entry["uuid"] not in record["stopped"]]
        found = [(uuid, args.get("step", ""), self._in_words_of_a_purge(why, args))
                 for uuid, why in self._complaints(args, answer, task_vars, instances, going)]
        if "hosts" in args:
            records = {host: task_vars["hostvars"][host].get("purge_orphan_here", {}) for host in args["hosts"]}
            found.extend(hosts_complaints(instances, records, args["part"]))
        return added(record, found, args, answer)

    def _complaints(self, args, answer, task_vars, instances, going):
        named = args.get("instances", {})
        yield from named.items() if isinstance(named, dict) else ((uuid, args["why"]) for uuid in named)
        if "guests" in args:
            yield from guests(task_vars[args["guests"]]["results"], going, boolean(args["destroy"]))
        if "answer" in args:
            def instances_of(consumer, host):
                return [entry["uuid"] for entry in instances if consumer in entry["consumers"]] + [uuid for uuid, at in args.get("at", []) if at == host]

            yield from complaints(answer, args.get("of", [entry["uuid"] for entry in going]), instances_of, args.get("spares"))

    def _in_words_of_a_purge(self, why, args):
        """The modules name their options; in a purge these are variables. Each way out is given for what matches its pattern."""
        why = str(why)  # up to 2.18 ansible-core makes a list of what looks like one
        option, variable = (self._templar.template(trust_as_template("{{ %s }}" % name)) for name in ("purge_orphan_option", "purge_orphan_variable"))
        ways_out = "".join(way for pattern, way in args.get("ways_out", {}).items() if re.search(pattern, why))
        return args.get("where", "") + re.sub(option, variable, why) + ways_out
