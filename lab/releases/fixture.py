"""fixture.py RELEASE FILE: what a release of Nova makes of an instance that it deletes, into FILE.

Runs in an environment with that nova. In databases that Nova's own migrations make, Nova's own objects make an instance that is
stuck and a live neighbour, each with every kind of row; then Nova's own code deletes the first. FILE has, by release, database and
table, the definition and the rows before and after, as JSON by bzip2; the other releases in it stay. Everything in it comes out
the same each time: identifiers are drawn from a seed, times are BEFORE, and those that the deletion wrote are NOW.
"""
import bz2
import json
import pathlib
import random
import sys
import uuid
from unittest import mock

from pymysql.constants import FIELD_TYPE

release, file = sys.argv[1:]
drawn = random.Random('nova-orphan')
uuid.uuid4 = lambda: uuid.UUID(int=drawn.getrandbits(128), version=4)
databases = ('api', 'cell1')

from seed import BEFORE, Seed, database, make_old, migrate, sql, tables  # noqa: E402
from nova import config, context, crypto, objects, version  # noqa: E402
from nova.compute import api, manager, utils as compute_utils  # noqa: E402


def definition(name, table):
    """A table's definition. The migrations make indexes in any order."""
    first, *lines, last = sql(f'SHOW CREATE TABLE {name}.{table}')[0][1].splitlines()
    lines = [line.rstrip(',') for line in lines]
    columns = [line for line in lines if line.startswith('  `')]
    return '\n'.join([first, ',\n'.join(columns + sorted(set(lines) - set(columns))), last])


def rows(name, table):
    """The rows of a table by column, each value as MariaDB writes it, and NULL."""
    with database.cursor() as cursor:
        cursor.execute(f'SELECT * FROM {name}.{table}')
        found = cursor.fetchall()
        columns = [(column[0], column[1] == FIELD_TYPE.DATETIME) for column in cursor.description]
    return [{column: 'NULL' if value is None else 'NOW' if timed and value > BEFORE else value
             for (column, timed), value in zip(columns, row)} for row in found]


class Compute(manager.ComputeManager):
    """nova-compute without a hypervisor and without other services: what it has not as a class is a mock."""

    host = 'compute1'

    def __init__(self):
        if hasattr(manager, 'share_management'):  # what ComputeManager had itself before
            self.share_manager = manager.share_management.ShareManager(self.manila_api, self.driver)

    def __getattr__(self, name):
        return self.__dict__.setdefault(name, mock.MagicMock())


def delete(instance_uuid):
    """What the API and nova-compute do (nova/compute/api.py _delete and _do_delete, nova/compute/manager.py terminate_instance)."""
    ctx = context.get_admin_context()
    context.set_target_cell(ctx, objects.InstanceMapping.get_by_instance_uuid(ctx, instance_uuid).cell_mapping)
    instance = objects.Instance.get_by_uuid(ctx, instance_uuid, expected_attrs=['metadata', 'system_metadata', 'info_cache', 'flavor'])
    instance.progress, instance.task_state = 0, 'deleting'
    instance.save()
    api.API._update_queued_for_deletion(context.get_admin_context(), instance_uuid, True)
    with mock.patch.multiple(compute_utils, notify_about_instance_usage=mock.DEFAULT, notify_about_instance_action=mock.DEFAULT), \
            mock.patch.object(crypto, '_get_key_manager'):
        Compute()._delete_instance(ctx, instance, objects.BlockDeviceMappingList.get_by_instance_uuid(ctx, instance_uuid))


config.parse_args(['fixture'], default_config_files=[])
objects.register_all()
seed = Seed(migrate(*databases), 'compute1')
orphan = seed.instance('compute1', vm_state='error', task_state='deleting')
neighbour = seed.instance('compute1', vm_state='active', task_state=None)
make_old(*databases)
made = {name: {table: {'create': definition(name, table), 'before': rows(name, table)} for table in tables(name)} for name in databases}
del made['api']['cell_mappings']['before'][:]  # whoever loads them maps databases of his own
delete(orphan)
for name in databases:
    for table in tables(name):
        made[name][table]['after'] = rows(name, table)
del made['api']['cell_mappings']['after'][:]
path = pathlib.Path(file)
every = json.loads(bz2.decompress(path.read_bytes())) if path.exists() else {}
every[release] = {'nova': version.version_string(), 'orphan': orphan, 'neighbour': neighbour, 'databases': made}
path.write_bytes(bz2.compress(json.dumps(every, sort_keys=True, ensure_ascii=False).encode()))
