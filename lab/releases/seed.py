"""Instances with a row of each kind that Nova keeps, by the objects of the release in whose environment this runs.

In the databases api and cell1 of `lab/lab database`, which it is told by the environment. As a program it makes them, and an instance
of compute1, whose nova-compute never started.
"""
import os
import tempfile
import uuid

import pymysql.converters

BEFORE = '2026-01-02 03:04:05'
socket = os.environ['LAB_SOCKET']
scratch = tempfile.TemporaryDirectory()


def url(name):
    return f'mysql+pymysql://root@localhost/{name}?unix_socket={socket}'


# oslo.config reads these; eventlet, in the releases that have it, is not for a program like this.
os.environ.setdefault('OS_NOVA_DISABLE_EVENTLET_PATCHING', '1')
os.environ.update(OS_DATABASE__CONNECTION=url('cell1'), OS_API_DATABASE__CONNECTION=url('api'),
                  OS_OSLO_CONCURRENCY__LOCK_PATH=scratch.name, OS_DEFAULT__STATE_PATH=scratch.name, OS_DEFAULT__HOST='compute1')

from nova import context, objects  # noqa: E402
from nova.db import migration  # noqa: E402
from nova.network import model  # noqa: E402

database = pymysql.connect(unix_socket=socket, user='root', autocommit=True, conv=pymysql.converters.encoders, charset='utf8mb4')


def sql(statement, *args):
    with database.cursor() as cursor:
        cursor.execute(statement, args or None)
        return cursor.fetchall()


def tables(name):
    return sorted(table for table, in sql('SELECT table_name FROM information_schema.tables WHERE table_schema = %s', name))


def migrate(*databases):
    for name in databases:
        sql(f'CREATE DATABASE {name} CHARACTER SET utf8mb3')
        migration.db_sync(database='api' if name == 'api' else 'main')
    admin = context.get_admin_context()
    for name, cell in (('cell0', objects.CellMapping.CELL0_UUID), ('cell1', uuid.uuid4())):
        mapping = objects.CellMapping(admin, uuid=str(cell), name=name, transport_url='none:///', database_connection=url('cell1'))
        mapping.create()
    count_on(*databases)
    return mapping


def count_on(*databases):
    """An id of 1 would make deleted = 1 right by chance."""
    for name, table in sql("SELECT table_schema, table_name FROM information_schema.columns WHERE extra = 'auto_increment' "
                           "AND table_schema IN %s", databases):
        sql(f'ALTER TABLE {name}.{table} AUTO_INCREMENT = 41')


def make_old(*databases):
    for name, table, column, kind in sql(
            "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns WHERE table_schema IN %s "
            "AND (data_type = 'datetime' OR column_name = 'expires')", databases):
        sql(f'UPDATE {name}.{table} SET {column} = %s WHERE {column} IS NOT NULL', BEFORE if kind == 'datetime' else 1)


class Seed:
    """An instance and all that Nova keeps about it."""

    def __init__(self, cell, *hosts):
        self.cell = cell
        self.context = context.RequestContext('user', 'project', is_admin=True)
        context.set_target_cell(self.context, cell)
        self.nodes = {host: self.host(host) for host in hosts}
        self.share = str(uuid.uuid4())
        self.number = 0

    def host(self, name):
        self.make(objects.Service, host=name, binary='nova-compute', topic='compute', report_count=1, disabled=False)
        node = self.make(
            objects.ComputeNode, host=name, hypervisor_hostname=f'{name}.example', uuid=str(uuid.uuid4()), vcpus=8,
            memory_mb=8192, local_gb=100, vcpus_used=0, memory_mb_used=0, local_gb_used=0, hypervisor_type='QEMU',
            hypervisor_version=7002000, cpu_info='{}', mapped=1)
        objects.HostMapping(context.get_admin_context(), host=name, cell_mapping=self.cell).create()
        return node

    def make(self, kind, **values):
        """A new object with the values for which this release has fields."""
        made = kind(self.context, **{name: value for name, value in values.items() if name in kind.fields})
        made.create()
        return made

    def insert(self, where, table, /, **values):
        sql(f"INSERT INTO {where}.{table} ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})", *values.values())

    def instance(self, host, /, **state):
        self.number += 1
        number, instance, node = self.number, str(uuid.uuid4()), self.nodes[host]
        flavor = objects.Flavor(
            id=7, name='m1.nano', flavorid='m1.nano', memory_mb=128, vcpus=1, root_gb=1, ephemeral_gb=0, swap=0, rxtx_factor=1.0,
            vcpu_weight=0, disabled=False, is_public=True, extra_specs={'hw:tpm_version': '2.0'}, description=None)
        subnet = model.Subnet(cidr='10.0.0.0/24', ips=[model.FixedIP(address=f'10.0.0.{number}')])
        port = model.VIF(id=str(uuid.uuid4()), address=f'fa:16:3e:00:00:{number:02x}', type='ovs', devname=f'tap{number}',
                         network=model.Network(id=str(uuid.uuid4()), bridge='br-int', label='net', subnets=[subnet]))
        cache = objects.InstanceInfoCache.new(self.context, instance)
        cache.network_info = model.NetworkInfo([port])
        values = dict(
            uuid=instance, user_id='user', project_id='project', host=host, node=node.hypervisor_hostname, launched_on=host,
            compute_id=node.id, image_ref=str(uuid.uuid4()), power_state=1, memory_mb=128, vcpus=1, root_gb=1, ephemeral_gb=0,
            hostname=f'vm{number}', display_name=f'v\u00e4m{number} \u4e91', display_description="it's \\ \"quoted\"", progress=42,
            reservation_id='r-1', availability_zone='nova', locked=False, launch_index=0, root_device_name='/dev/vda',
            config_drive='True', key_name='key', hidden=False, cleaned=False, instance_type_id=7, flavor=flavor, old_flavor=None,
            new_flavor=None, info_cache=cache, metadata={'role': 'db', 'owner': '\u00e4'},
            system_metadata={'image_min_ram': '0', 'vtpm_secret_uuid': str(uuid.uuid4())},
            pci_requests=objects.InstancePCIRequests(requests=[]), device_metadata=objects.InstanceDeviceMetadata(devices=[]),
            keypairs=objects.KeyPairList(objects=[]), numa_topology=None, trusted_certs=None, vcpu_model=None, resources=None)
        made = self.make(objects.Instance, **values)
        self.devices(instance, port, number, node)
        for status, kind in (('error', 'migration'), ('completed', 'live-migration'), ('confirmed', 'resize')):
            self.make(objects.Migration, uuid=str(uuid.uuid4()), instance_uuid=instance, source_compute='compute2', status=status,
                      source_node='compute2.example', dest_compute=host, dest_node=node.hypervisor_hostname, migration_type=kind,
                      dest_compute_id=node.id, hidden=False, old_instance_type_id=7, new_instance_type_id=7)
        made.migration_context = objects.MigrationContext(instance_uuid=instance, migration_id=41, new_numa_topology=None,
                                                          old_numa_topology=None)
        made.update(state)
        made.save()
        self.make(objects.InstanceFault, instance_uuid=instance, code=500, message='broken', details='Traceback\n  \u00fc', host=host)
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

    def devices(self, instance, port, number, node):
        def mapping(**values):
            return self.make(objects.BlockDeviceMapping, instance_uuid=instance, uuid=str(uuid.uuid4()), **values)
        mapping(source_type='image', destination_type='local', device_name='/dev/vda', image_id=str(uuid.uuid4()), boot_index=0)
        for device in ('/dev/vdb', '/dev/vdc'):
            volume = mapping(source_type='volume', destination_type='volume', device_name=device, volume_id=str(uuid.uuid4()),
                             attachment_id=str(uuid.uuid4()), connection_info='{}', delete_on_termination=True)
        volume.destroy()  # detached long ago
        self.make(objects.VirtualInterface, instance_uuid=instance, uuid=port['id'], address=f"{port['address']}/{port['id']}")
        self.insert('cell1', 'pci_devices', instance_uuid=instance, deleted=0, compute_node_id=node.id, dev_type='type-VF',
                    address=f'0000:81:{number // 8:02x}.{number % 8}', product_id='1528', vendor_id='8086', label='l',
                    dev_id=f'pci_0000_81_{number // 8:02x}_{number % 8}', status='allocated', uuid=str(uuid.uuid4()))
        if 'share_mapping' in tables('cell1'):  # one that the neighbour has, too, and one of its own
            for tag, share in (('common', self.share), ('own', str(uuid.uuid4()))):
                self.insert('cell1', 'share_mapping', instance_uuid=instance, uuid=str(uuid.uuid4()), share_id=share, status='active',
                            tag=tag, export_location='10.0.0.1:/share', share_proto='NFS')


if __name__ == '__main__':
    from nova import config
    config.parse_args(['seed'], default_config_files=[])
    objects.register_all()
    Seed(migrate('api', 'cell1'), 'compute1').instance('compute1', vm_state='error', node=None, compute_id=None)
    for table in ('cell1.pci_devices', 'cell1.compute_nodes', 'cell1.services', 'api.host_mappings'):
        sql(f'DELETE FROM {table}')
    # Else a hypervisor without vTPM does not start (nova/compute/manager.py _validate_vtpm_configuration).
    sql("UPDATE cell1.instance_extra SET flavor = REPLACE(flavor, 'hw:tpm_version', 'other')")
