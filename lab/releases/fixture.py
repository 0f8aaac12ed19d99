"""fixture.py RELEASE FILE: what a release of Nova makes of an instance that it deletes, into FILE.

Runs in an environment with that nova. In databases that Nova's own migrations make, Nova's own objects make an instance that is
stuck and a live neighbour, each with every kind of row; then Nova's own code deletes the first. FILE has, by release, database and
table, the definition and the rows before and after, as JSON by bzip2; the other releases in it stay. Everything in it comes out
the same each time: identifiers are drawn from a seed, times are BEFORE, and those that the deletion wrote are NOW.
"""
import bz2
import json
import os
import pathlib
import random
import sys
import tempfile
import uuid
from unittest import mock

import pymysql.converters
from pymysql.constants import FIELD_TYPE

BEFORE = '2026-01-02 03:04:05'
release, file = sys.argv[1:]
socket = os.environ['LAB_SOCKET']
scratch = tempfile.TemporaryDirectory()
drawn = random.Random('nova-orphan')
uuid.uuid4 = lambda: uuid.UUID(int=drawn.getrandbits(128), version=4)
databases = ('api', 'cell1')


def url(database):
    return f'mysql+pymysql://root@localhost/{database}?unix_socket={socket}'


# oslo.config reads these; eventlet, in the releases that have it, is not for a program like this.
os.environ.update(OS_NOVA_DISABLE_EVENTLET_PATCHING='1', OS_DATABASE__CONNECTION=url('cell1'), OS_API_DATABASE__CONNECTION=url('api'),
                  OS_OSLO_CONCURRENCY__LOCK_PATH=scratch.name, OS_DEFAULT__STATE_PATH=scratch.name, OS_DEFAULT__HOST='compute1')

from nova import config, context, crypto, objects, version  # noqa: E402
from nova.compute import api, manager, utils as compute_utils  # noqa: E402
from nova.db import migration  # noqa: E402
from nova.network import model  # noqa: E402

database = pymysql.connect(unix_socket=socket, user='root', autocommit=True, conv=pymysql.converters.encoders, charset='utf8mb4')


def sql(statement, *args):
    with database.cursor() as cursor:
        cursor.execute(statement, args or None)
        return cursor.fetchall()


def tables(name):
    return sorted(table for table, in sql('SELECT table_name FROM information_schema.tables WHERE table_schema = %s', name))


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


def migrate():
    for name in databases:
        sql(f'CREATE DATABASE {name} CHARACTER SET utf8mb3')
        migration.db_sync(database='api' if name == 'api' else 'main')
    admin = context.get_admin_context()
    for name, cell in (('cell0', objects.CellMapping.CELL0_UUID), ('cell1', uuid.uuid4())):
        mapping = objects.CellMapping(admin, uuid=str(cell), name=name, transport_url='none:///', database_connection=url('cell1'))
        mapping.create()
    # An id of 1 would make deleted = 1 right by chance.
    for name, table in sql("SELECT table_schema, table_name FROM information_schema.columns WHERE extra = 'auto_increment' "
                           "AND table_schema IN %s", databases):
        sql(f'ALTER TABLE {name}.{table} AUTO_INCREMENT = 41')
    return mapping


class Seed:
    """An instance and all that Nova keeps about it."""

    def __init__(self, cell):
        self.cell = cell
        self.context = context.RequestContext('user', 'project', is_admin=True)
        context.set_target_cell(self.context, cell)
        self.make(objects.Service, host='compute1', binary='nova-compute', topic='compute', report_count=1, disabled=False)
        self.node = self.make(
            objects.ComputeNode, host='compute1', hypervisor_hostname='compute1.example', uuid=str(uuid.uuid4()), vcpus=8,
            memory_mb=8192, local_gb=100, vcpus_used=0, memory_mb_used=0, local_gb_used=0, hypervisor_type='QEMU',
            hypervisor_version=7002000, cpu_info='{}', mapped=1)
        objects.HostMapping(context.get_admin_context(), host='compute1', cell_mapping=cell).create()
        self.share = str(uuid.uuid4())
        self.number = 0

    def make(self, kind, **values):
        """A new object with the values for which this release has fields."""
        made = kind(self.context, **{name: value for name, value in values.items() if name in kind.fields})
        made.create()
        return made

    def insert(self, where, table, /, **values):
        sql(f"INSERT INTO {where}.{table} ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})", *values.values())

    def instance(self, **state):
        self.number += 1
        number, instance = self.number, str(uuid.uuid4())
        flavor = objects.Flavor(
            id=7, name='m1.nano', flavorid='m1.nano', memory_mb=128, vcpus=1, root_gb=1, ephemeral_gb=0, swap=0, rxtx_factor=1.0,
            vcpu_weight=0, disabled=False, is_public=True, extra_specs={'hw:tpm_version': '2.0'}, description=None)
        subnet = model.Subnet(cidr='10.0.0.0/24', ips=[model.FixedIP(address=f'10.0.0.{number}')])
        port = model.VIF(id=str(uuid.uuid4()), address=f'fa:16:3e:00:00:{number:02x}', type='ovs', devname=f'tap{number}',
                         network=model.Network(id=str(uuid.uuid4()), bridge='br-int', label='net', subnets=[subnet]))
        cache = objects.InstanceInfoCache.new(self.context, instance)
        cache.network_info = model.NetworkInfo([port])
        values = dict(
            uuid=instance, user_id='user', project_id='project', host='compute1', node='compute1.example', launched_on='compute1',
            compute_id=self.node.id, image_ref=str(uuid.uuid4()), power_state=1, memory_mb=128, vcpus=1, root_gb=1, ephemeral_gb=0,
            hostname=f'vm{number}', display_name=f'v\u00e4m{number} \u4e91', display_description="it's \\ \"quoted\"", progress=42,
            reservation_id='r-1', availability_zone='nova', locked=False, launch_index=0, root_device_name='/dev/vda',
            config_drive='True', key_name='key', hidden=False, cleaned=False, instance_type_id=7, flavor=flavor, old_flavor=None,
            new_flavor=None, info_cache=cache, metadata={'role': 'db', 'owner': '\u00e4'},
            system_metadata={'image_min_ram': '0', 'vtpm_secret_uuid': str(uuid.uuid4())},
            pci_requests=objects.InstancePCIRequests(requests=[]), device_metadata=objects.InstanceDeviceMetadata(devices=[]),
            keypairs=objects.KeyPairList(objects=[]), numa_topology=None, trusted_certs=None, vcpu_model=None, resources=None)
        made = self.make(objects.Instance, **values)
        self.devices(instance, port, number)
        for status, kind in (('error', 'migration'), ('completed', 'live-migration'), ('confirmed', 'resize')):
            self.make(objects.Migration, uuid=str(uuid.uuid4()), instance_uuid=instance, source_compute='compute2', status=status,
                      source_node='compute2.example', dest_compute='compute1', dest_node='compute1.example', migration_type=kind,
                      dest_compute_id=self.node.id, hidden=False, old_instance_type_id=7, new_instance_type_id=7)
        made.migration_context = objects.MigrationContext(instance_uuid=instance, migration_id=41, new_numa_topology=None,
                                                          old_numa_topology=None)
        made.update(state)
        made.save()
        self.make(objects.InstanceFault, instance_uuid=instance, code=500, message='broken', details='Traceback\n  \u00fc', host='compute1')
        objects.InstanceAction.action_start(self.context, instance, 'create', want_result=False)
        objects.InstanceActionEvent.event_start(self.context, instance, 'compute__do_build_and_run_instance', want_result=False)
        for tag in ('blue', 'gr\u00fcn'):
            self.make(objects.Tag, resource_id=instance, tag=tag)
        objects.ConsoleAuthToken(self.context, console_type='novnc', host='127.0.0.1', port=5900 + number, instance_uuid=instance,
                                 access_url_base='http://localhost/').authorize(600)
        admin = context.get_admin_context()
        objects.InstanceMapping(admin, instance_uuid=instance, cell_mapping=self.cell, project_id='project', user_id='user',
                                queued_for_delete=False).create()
        # What no object makes any more, or not alone.
        self.insert('cell1', 'security_group_instance_association', instance_uuid=instance, deleted=0)
        self.insert('cell1', 'volume_usage_cache', instance_uuid=instance, deleted=0, volume_id=str(uuid.uuid4()), **{
            f'{when}_{what}': 1 for when in ('tot', 'curr') for what in ('reads', 'read_bytes', 'writes', 'write_bytes')})
        self.insert('api', 'request_specs', instance_uuid=instance, spec='{}')
        self.insert('api', 'instance_groups', uuid=str(uuid.uuid4()), name='group', user_id='user', project_id='project')
        self.insert('api', 'instance_group_member', instance_uuid=instance, group_id=sql(
            'SELECT MAX(id) FROM api.instance_groups')[0][0])
        return instance

    def devices(self, instance, port, number):
        def mapping(**values):
            return self.make(objects.BlockDeviceMapping, instance_uuid=instance, uuid=str(uuid.uuid4()), **values)
        mapping(source_type='image', destination_type='local', device_name='/dev/vda', image_id=str(uuid.uuid4()), boot_index=0)
        for device in ('/dev/vdb', '/dev/vdc'):
            volume = mapping(source_type='volume', destination_type='volume', device_name=device, volume_id=str(uuid.uuid4()),
                             attachment_id=str(uuid.uuid4()), connection_info='{}', delete_on_termination=True)
        volume.destroy()  # detached long ago
        self.make(objects.VirtualInterface, instance_uuid=instance, uuid=port['id'], address=f"{port['address']}/{port['id']}")
        self.insert('cell1', 'pci_devices', instance_uuid=instance, deleted=0, compute_node_id=self.node.id, dev_type='type-VF',
                    address=f'0000:81:00.{number}', product_id='1528', vendor_id='8086', dev_id=f'pci_0000_81_00_{number}', label='l',
                    status='allocated', uuid=str(uuid.uuid4()))
        if 'share_mapping' in tables('cell1'):  # one that the neighbour has, too, and one of its own
            for tag, share in (('common', self.share), ('own', str(uuid.uuid4()))):
                self.insert('cell1', 'share_mapping', instance_uuid=instance, uuid=str(uuid.uuid4()), share_id=share, status='active',
                            tag=tag, export_location='10.0.0.1:/share', share_proto='NFS')


def make_old():
    for name, table, column, kind in sql(
            "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns WHERE table_schema IN %s "
            "AND (data_type = 'datetime' OR column_name = 'expires')", databases):
        sql(f'UPDATE {name}.{table} SET {column} = %s WHERE {column} IS NOT NULL', BEFORE if kind == 'datetime' else 1)


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
seed = Seed(migrate())
orphan = seed.instance(vm_state='error', task_state='deleting')
neighbour = seed.instance(vm_state='active', task_state=None)
make_old()
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
