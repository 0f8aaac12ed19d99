"""compute.py FOLDER PLACEMENT: a release's own nova-compute, in the databases that seed.py makes in a `lab/lab database`.

Its host is compute1, of whose one instance its hypervisor has no guest. There is no conductor: what that would write for it, it writes
itself. Its state and its log are in FOLDER, and its Placement is at a URL; its periodic tasks run each second.
"""
import os
import sys
from unittest import mock

folder, placement = sys.argv[1:]
del sys.argv[1:]
# As it is by default, other than in seed: with eventlet up to 2026.1, and with threads since.
os.environ['OS_NOVA_DISABLE_EVENTLET_PATCHING'] = 'no'

from nova.cmd import compute  # noqa: E402
from nova import objects  # noqa: E402
import nova.db.main.api  # noqa: E402

import seed  # noqa: E402, F401  tells it where the databases are


def alone():
    nova.db.main.api.DISABLE_DB_ACCESS = False


os.environ.update(
    OS_PLACEMENT__AUTH_TYPE='none', OS_PLACEMENT__ENDPOINT_OVERRIDE=placement, OS_DEFAULT__STATE_PATH=folder,
    OS_DEFAULT__LOG_FILE=f'{folder}/nova-compute.log', OS_DEFAULT__TRANSPORT_URL='fake:///',
    OS_DEFAULT__COMPUTE_DRIVER='fake.FakeDriverWithoutFakeNodes', OS_DEFAULT__SYNC_POWER_STATE_INTERVAL='1',
    OS_DEFAULT__PERIODIC_FUZZY_DELAY='0')
with mock.patch.object(compute.conductor_rpcapi, 'ConductorAPI', lambda: None), \
        mock.patch.object(objects.Service, 'enable_min_version_cache', alone):
    compute.main()
