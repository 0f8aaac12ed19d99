"""Runs commands when ansible-playbook comes to tasks, or tries them again, before it goes on."""

import json
import os
import subprocess

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: at_task
type: notification
short_description: Runs commands at tasks
description: Each command of AT_TASK, a list of mappings with task, event (start or retry) and run, is run at the first such event after the one before it.
requirements: [AT_TASK in the environment]
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "at_task"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self.left = json.loads(os.environ["AT_TASK"])
        self.task = ""

    def v2_playbook_on_task_start(self, task, is_conditional):
        self.task = task.name
        self.run("start")

    def v2_runner_retry(self, result):
        self.run("retry")

    def run(self, event):
        while self.left and (self.left[0]["task"], self.left[0]["event"]) == (self.task, event):
            hook = self.left.pop(0)
            subprocess.run(hook["run"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            self._display.display(f"at {event} of {hook['task']}: {hook['run']}")
