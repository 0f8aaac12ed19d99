"""Refuses variables that are none of a role's, though they are named like one: what they were set for would not be done."""

import os
import re

from ansible.plugins.action import ActionBase

# Near to those that a purge takes without the role's prefix; what an audit's findings are chosen by is near only where there are some.
NEAR = re.compile("al+ow_?s[qlw]+|al+ow_?for.*|pre?ser[ve]+_?vol.*|max_?ins.*|on_?ref.*")
NEAR_WITH_FINDINGS = ("kind", "host", "project")


def misspelt(names, prefix, known, unprefixed):
    """Those that are meant for the role, and are not known: -e takes any name, also one that no playbook could ask for."""
    near = NEAR_WITH_FINDINGS if "findings" in names else ()
    for name in sorted(names):
        if name in known or name in unprefixed:
            continue
        words = name.lower().replace("-", "_")
        if name.startswith(prefix) or unprefixed and (words != name and words in known | unprefixed or NEAR.fullmatch(name) or name in near):
            yield name


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        role, own, bare = (self._task.args[name] for name in ("role", "own", "bare"))
        prefix = os.path.basename(role) + "_"
        options = self._loader.load_from_file(os.path.join(role, "meta", "argument_specs.yml"))["argument_specs"]["main"]["options"]
        # A playbook that imports this one gives its variables to the plays alone.
        names = set(task_vars["hostvars"]["localhost"]).union(task_vars)
        names.update(name for host in self._task.args["hosts"] for name in task_vars["hostvars"][host] if name.startswith(prefix))
        names.difference_update(own)
        wrong = list(misspelt(names, prefix, set(options), set(self._task.args["unprefixed"] + bare)))
        short = sorted(names.intersection(bare))
        said = [f"No variable of {self._task.args['of']}: {', '.join(wrong)}."] if wrong else []
        said += [f"Say {', '.join(map(prefix.__add__, short))} instead of {', '.join(short)}."] if short else []
        said += ["Nothing was read or changed. The role's defaults/main.yml lists them all."]
        return {"failed": bool(wrong or short), "changed": False, "msg": " ".join(said)}
