"""Copies a host's backups to the control node: COPY/INSTANCE/HOST/CONSUMER/FILE.json, and of a run over several COPY/RUN/INSTANCE, which leads there.

They come in one stream, as they may hold what users have given to their instances, and neither the host nor its archive is trusted.
"""

import base64
import contextlib
import gzip
import io
import os
import pathlib
import re
import shlex
import shutil
import tarfile
import tempfile
import zlib

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

# Far more than a backup, whose largest part is 64 MiB of UEFI variables, and than those of one call; far less than fills a disk.
LARGEST_FILE = 256 << 20
LARGEST_ARCHIVE = 4 << 30
# The kernel takes no argument, as a whole command is one, of more than 128 KiB, and of all files' names 2 MiB.
CONSUMERS_OF_A_CALL = 200

FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*[.]json")

# Takes the folder and the consumers. What is partial is left out, which not every tar can do by itself; a folder without a file goes as it is, so that tar
# says if it cannot be read. What sudo or a login say stands before or after the marks, and ssh's terminal has no stderr of its own.
MARK = "== purge_orphan_backups =="
PACK = f"""exec 3>&1
echo '{MARK}'
why=$( {{
  [ -d "$1" ] || exit 0
  cd "$1" || exit
  shift
  for consumer; do
    shift
    [ ! -d "$consumer" ] || for file in "$consumer"/*.json; do
      if [ -e "$file" ]; then set -- "$@" "$consumer"/*.json; else set -- "$@" "$consumer"; fi
      break
    done
  done
  [ $# = 0 ] || {{ tar -cf - -- "$@" || echo "tar ended with $?" >&2; }} | gzip | base64 >&3
}} 2>&1 )
printf '%s\\n' '{MARK}' "$why" '{MARK}'"""


def unpack(packed, copy, host, instance_of, run="", module=""):
    """Of what PACK has made only files of consumers in instance_of leave the archive, and with a module only that module's."""
    archive = gzip.GzipFile(fileobj=io.BytesIO(base64.b64decode("".join(packed.split()), validate=True)))
    # Nothing of it is taken that is not whole, by the checksum at its end.
    while archive.read(1 << 20):
        if archive.tell() > LARGEST_ARCHIVE:
            raise ValueError(f"the archive has more than {LARGEST_ARCHIVE >> 30} GiB")
    archive.seek(0)
    with tarfile.open(fileobj=archive, mode="r|") as members:
        for member in members:
            consumer, _, name = member.name.partition("/")
            asked = consumer in instance_of and FILE.fullmatch(name) and name.endswith(f"-{module}.json" if module else "")
            if not asked or not member.isreg() or member.issparse():
                continue
            if member.size > LARGEST_FILE:
                raise ValueError(f"{member.name} has more than {LARGEST_FILE >> 20} MiB")
            instance = instance_of[consumer]
            put(members.extractfile(member), make(copy / instance / host / consumer) / name)
            if run and not (copy / run / instance).is_symlink():
                (make(copy / run) / instance).symlink_to(f"../{instance}")


def make(folder):
    """Path.mkdir gives the mode to the last one only."""
    if not folder.is_dir():
        make(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def put(content, path):
    """The file gets its name when it is whole. It is its owner's only, as mkstemp makes it."""
    handle, partial = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            shutil.copyfileobj(content, file)
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


def readable(text):
    """What a host says, of which a lot or none may be meant to be read: its end, in one line."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())[-500:]


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        instance_of = {consumer: instance for instance, consumers in self._task.args["consumers_of"].items() for consumer in consumers}
        consumers = list(instance_of)
        calls = [consumers[at:at + CONSUMERS_OF_A_CALL] for at in range(0, len(consumers), CONSUMERS_OF_A_CALL)]
        failures = [failure for call in calls for failure in self._copy({c: instance_of[c] for c in call})]
        if failures:
            return {"failed": True, "msg": ", ".join(dict.fromkeys(failures))}
        return {"changed": False, "copied": True}

    def _copy(self, instance_of):
        """Why not all of them could be copied. What could be read is copied all the same."""
        args = self._task.args
        try:
            said = self._low_level_execute_command(shlex.join(["set", "--", args["backup_dir"], *instance_of]) + "\n" + PACK)
        except AnsibleConnectionFailure:
            raise
        except AnsibleError as error:
            # As a password of sudo that is wrong: raised, it would end the loop over the hosts.
            yield readable(str(error))
            return
        parts = said["stdout"].split(MARK)
        if len(parts) != 4:
            yield "the answer ended too early" if len(parts) > 1 else readable(said["stdout"]) or readable(said["stderr"]) or "gave no answer"
            return
        _, packed, why, _ = parts
        if why.strip():
            yield readable(why)
        if not packed.strip():
            return
        copy = pathlib.Path(self._loader.get_basedir(), os.path.expanduser(args["backup_copy"]))
        try:
            unpack(packed, copy, args["host"], instance_of, args["run"], args["module"])
        except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as error:
            yield f"copy its backups into {copy}: {readable(str(error))}"
