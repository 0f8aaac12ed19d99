"""Runs that binary of a module which is for the host: plugins/modules/__linux_ARCHITECTURE/NAME.

meta/runtime.yml sends the tasks of all modules here; the NAME.py that is found by a module's name is its documentation only.
"""

import contextlib
import hashlib
import os

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.plugins.action.normal import ActionModule as Normal

COLLECTION = ".".join(__name__.split(".")[1:3])
# ansible-doc --list, which complains of binaries, skips folders that begin like this.
FOLDERS = {"Linux x86_64": "__linux_amd64", "Linux aarch64": "__linux_arm64"}


class Binaries(ActionBase):
    """For an action plugin that calls modules of this collection."""

    def _execute_module(self, module_name=None, **more):
        machine = self._machine(more["task_vars"])
        if machine not in FOLDERS:
            return {"failed": True, "msg": f"the host is {machine!r} by uname -sm, and {COLLECTION} has modules for {', '.join(FOLDERS)}"}
        name = (module_name or self._task.action).rpartition(".")[2]
        return super()._execute_module(f"{COLLECTION}.{FOLDERS[machine]}.{name}", **more)

    def _machine(self, task_vars):
        host = self._task.delegate_to
        known = (task_vars["ansible_delegated_vars"][host] if host else task_vars).get("ansible_facts") or {}
        if known.get("architecture"):
            return f"{known.get('system', 'Linux')} {known['architecture']}"
        return self._asked(host or task_vars["inventory_hostname"])

    def _asked(self, host):
        """Each task is a process of its own: what a host says is kept, as where a link leads, in the folder that the run removes at its end."""
        way = repr((host, self._connection.transport, self._play_context.remote_addr))
        kept = os.path.join(constants.DEFAULT_LOCAL_TMP, f"{COLLECTION}-{hashlib.sha256(way.encode()).hexdigest()}")
        with contextlib.suppress(OSError):
            return os.readlink(kept)
        said = self._low_level_execute_command("uname -sm", sudoable=False)
        # A login may say something before.
        machine = (said["stdout"].strip().splitlines() or [said["stderr"].strip()])[-1]
        if machine in FOLDERS:
            with contextlib.suppress(OSError):
                os.symlink(machine, kept)
        return machine


class ActionModule(Binaries, Normal):
    pass
