"""Kills the ansible-playbook that enables it, with all that it has started, when it comes to the task KILL_AT."""

import contextlib
import os
import pathlib
import signal

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: kill_at
type: notification
short_description: Kills ansible-playbook at a task
description: SIGKILL for it and all that it has started, when it comes to a task.
requirements: [KILL_AT in the environment]
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "kill_at"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_task_start(self, task, is_conditional):
        if task.name == os.environ["KILL_AT"]:
            kill()


def kill():
    # Workers and ssh clients may have sessions of their own, so that a process group is not all of them.
    for process in [*descendants(os.getpid()), os.getpid()]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def descendants(process):
    for thread in pathlib.Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in thread.read_text().split():
                yield from descendants(child)
                yield int(child)
