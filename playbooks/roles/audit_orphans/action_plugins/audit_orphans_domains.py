"""Runs libvirt_domain_info on a hypervisor, and waits no longer than that module is told to, also where the host itself hangs.

Ansible's keyword "timeout" is not enough: it ends the module, but not the removal of the module's folder that follows, which asks the host again.
"""

import contextlib
import os
import signal
import subprocess

try:
    # In the collection, which has a binary for each architecture.
    from .binary import Binaries as ActionBase
except ImportError:
    from ansible.plugins.action import ActionBase


class Silence(BaseException):
    """No Exception: those are caught on the way, and asked again for."""


@contextlib.contextmanager
def within(seconds):
    def end(signum, frame):
        raise Silence(f"did not answer within {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        try:
            # A list may take long. Whether the host answers at all is known sooner.
            with within(self._connect_timeout()):
                self._low_level_execute_command("true")
            # By then the module has given up by itself, unless the host or a disk hangs.
            with within(self._connect_timeout() + int(self._task.args["timeout"])):
                return self._execute_module("libvirt_domain_info", task_vars=task_vars)
        except Silence as silence:
            self._leave()
            return {"failed": True, "msg": str(silence)}

    def cleanup(self, force=False):
        try:
            with within(self._connect_timeout()):
                super().cleanup(force)
        except Silence:
            self._leave()

    def _connect_timeout(self):
        return int(self._task.args["connect_timeout"])

    def _leave(self):
        """Ends the ssh that still waits for the host, which would do so for good: this process has no other child."""
        with contextlib.suppress(FileNotFoundError):
            subprocess.run(["pkill", "-P", str(os.getpid())], check=False)
