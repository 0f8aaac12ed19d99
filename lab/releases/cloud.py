"""cloud.py OTHERS INSTANCES: a release's own Keystone, Placement and nova-api, beside a `lab/lab database`, until its input ends.

Runs in an environment with all three. The databases are made by that release's own commands, and hosts and instances by its own objects.
OTHERS is the URL of whatever is to stand for Cinder, Glance and Neutron. INSTANCES has, as JSON by a name, the host that an instance is
on, and how it differs from one that is well. Prints, as one line of JSON, how to get there.

Nobody listens to what nova-api sends to a host (fake://): what a nova-compute would do is not done.
"""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import socket as sockets
import subprocess
import sys
import time

environment = dict(os.environ, OS_NOVA_DISABLE_EVENTLET_PATCHING='1')  # before seed adds what is for nova alone

from keystoneauth1 import adapter, identity, session  # noqa: E402
from keystoneclient.v3 import client  # noqa: E402

import seed  # noqa: E402
from nova import config, context, objects  # noqa: E402

others, wanted = sys.argv[1], json.loads(sys.argv[2])
folder = pathlib.Path(seed.scratch.name)
logs = folder / 'logs'
SECRET = 'lab-secret-release'
UP, DOWN = 'compute1', 'compute2'


def free_port():
    with contextlib.closing(sockets.create_server(('127.0.0.1', 0))) as server:
        return server.getsockname()[1]


ports = {name: free_port() for name in ('keystone', 'placement', 'nova')}
AUTH_URL = f"http://127.0.0.1:{ports['keystone']}/v3"
SERVERS = {'keystone': 'keystone.wsgi.api', 'placement': 'placement.wsgi.api', 'nova': 'nova.wsgi.osapi_compute'}
SERVICES = {  # type: (name, URL)
    'compute': ('nova', f"http://127.0.0.1:{ports['nova']}/v2.1"), 'image': ('glance', f'{others}/image'),
    'network': ('neutron', f'{others}/network'), 'placement': ('placement', f"http://127.0.0.1:{ports['placement']}"),
    'volumev3': ('cinderv3', f'{others}/volume/v3'),
}


def write(name, sections):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(''.join(f'[{section}]\n' + ''.join(f'{key} = {value}\n' for key, value in options.items()) + '\n'
                            for section, options in sections.items()))
    return path


def account(user):
    return dict(auth_type='password', auth_url=AUTH_URL, username=user, password=SECRET, project_name='service', user_domain_id='default',
                project_domain_id='default', region_name='RegionOne')


def configure():
    logged = {'log_dir': logs}
    write('keystone/keystone.conf', {
        'DEFAULT': logged, 'database': {'connection': seed.url('identity')}, 'identity': {'password_hash_rounds': 4},
        'fernet_tokens': {'key_repository': folder / 'fernet'}})
    write('placement/placement.conf', {
        'DEFAULT': logged, 'placement_database': {'connection': seed.url('allocations')}, 'keystone_authtoken': account('placement')})
    nova = {
        # Nobody reports for the hosts: what was seen of them at the beginning is to last.
        'DEFAULT': dict(logged, transport_url='fake:///', host='controller', state_path=folder, service_down_time=7200),
        'database': {'connection': seed.url('cell1')}, 'api_database': {'connection': seed.url('api')},
        'oslo_concurrency': {'lock_path': folder}, 'keystone_authtoken': account('nova'), 'neutron': account('nova'),
        'cinder': account('nova'), 'placement': account('nova'), 'service_user': dict(account('nova'), send_service_user_token=True)}
    write('nova/nova.conf', nova)
    # What is enough for Placement since 2023.1 (placement/policies/base.py), and for Nova's API is not.
    write('nova/service.conf', dict(nova, placement=account('placement')))
    paste = pathlib.Path(sys.prefix) / 'etc/nova/api-paste.ini'
    (folder / 'nova/api-paste.ini').write_bytes(paste.read_bytes())


def run(service, command, *arguments):
    done = subprocess.run([f'{sys.prefix}/bin/{command}', f'--config-file={folder}/{service}/{service}.conf', *arguments], env=environment,
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f'{command} {arguments}: {done.stdout}')


def sync_keystone():
    run('keystone', 'keystone-manage', 'db_sync')
    run('keystone', 'keystone-manage', 'fernet_setup', '--keystone-user=root', '--keystone-group=root')
    run('keystone', 'keystone-manage', 'bootstrap', '--bootstrap-password', SECRET, '--bootstrap-region-id=RegionOne',
        f'--bootstrap-public-url={AUTH_URL}', f'--bootstrap-internal-url={AUTH_URL}')


def sync_nova():
    run('nova', 'nova-manage', 'api_db', 'sync')
    run('nova', 'nova-manage', 'cell_v2', 'map_cell0', '--database_connection', seed.url('cell0'))
    run('nova', 'nova-manage', 'db', 'sync')
    run('nova', 'nova-manage', 'cell_v2', 'create_cell', '--name=cell1')


def sync_placement():
    run('placement', 'placement-manage', 'db', 'sync')


# A service as it is elsewhere served by uWSGI, which takes a compiler. It would read the arguments as its own.
SERVE = """
import importlib, sys, waitress
module, port = sys.argv[1:]
del sys.argv[1:]
waitress.serve(importlib.import_module(module).application, listen='127.0.0.1:' + port, threads=8)
"""


def serve(service):
    return subprocess.Popen(
        [sys.executable, '-c', SERVE, SERVERS[service], str(ports[service])], stdout=(logs / f'{service}.out').open('w'),
        stderr=subprocess.STDOUT, env=dict(environment, **{f'OS_{service.upper()}_CONFIG_DIR': str(folder / service)}))


def await_all(servers):
    end = time.monotonic() + 60
    for name in servers:
        while True:
            try:
                sockets.create_connection(('127.0.0.1', ports[name])).close()
                break
            except ConnectionRefusedError:
                if servers[name].poll() is not None or time.monotonic() > end:
                    sys.exit(f'{name} does not serve: ' + (logs / f'{name}.out').read_text())
                time.sleep(0.1)


def connect():
    auth = identity.v3.Password(auth_url=AUTH_URL, username='admin', password=SECRET, project_name='admin', user_domain_id='default',
                                project_domain_id='default')
    return session.Session(auth=auth)


def fill_keystone(cloud):
    keystone = client.Client(session=cloud, endpoint_override=AUTH_URL)
    project = keystone.projects.create('service', 'default')
    roles = {role.name: role for role in keystone.roles.list()}
    for name, of in {'nova': ('admin', 'service'), 'placement': ('service',)}.items():
        user = keystone.users.create(name, domain='default', password=SECRET)
        for role in of:
            keystone.roles.grant(roles[role], user=user, project=project)
    for kind, (name, url) in SERVICES.items():
        service = keystone.services.create(name, type=kind)
        for interface in ('public', 'internal'):
            keystone.endpoints.create(service, url, interface=interface, region='RegionOne')


def fill_nova():
    config.parse_args(['seed'], default_config_files=[])
    objects.register_all()
    seed.count_on('api', 'cell1')
    cell = next(cell for cell in objects.CellMappingList.get_all(context.get_admin_context()) if not cell.is_cell0())
    made = seed.Seed(cell, UP, DOWN)
    instances = {name: made.instance(host, **state) for name, (host, state) in wanted.items()}
    seed.make_old('api', 'cell1')
    seed.sql('UPDATE cell1.services SET last_seen_up = UTC_TIMESTAMP() WHERE host <> %s', DOWN)
    return made, instances


def fill_placement(cloud, made, instances):
    """As nova-compute and nova-scheduler would."""
    placement = adapter.Adapter(cloud, service_type='placement', default_microversion='1.30', raise_exc=True)
    for node in made.nodes.values():
        path = f'/resource_providers/{node.uuid}'
        placement.post('/resource_providers', json={'uuid': node.uuid, 'name': node.hypervisor_hostname})
        placement.put(path + '/inventories', json={'resource_provider_generation': 0, 'inventories': {
            name: {'total': total} for name, total in (('VCPU', 8), ('MEMORY_MB', 8192), ('DISK_GB', 100))}})
        placement.put(path + '/traits', json={'resource_provider_generation': 1, 'traits': ['COMPUTE_NODE']})
    for name, (host, _) in wanted.items():
        placement.put(f'/allocations/{instances[name]}', json={
            'allocations': {made.nodes[host].uuid: {'resources': {'VCPU': 1, 'MEMORY_MB': 128, 'DISK_GB': 1}}},
            'project_id': 'project', 'user_id': 'user', 'consumer_generation': None})


def main():
    logs.mkdir()
    for name in ('api', 'cell0', 'cell1', 'allocations', 'identity'):
        seed.sql(f'CREATE DATABASE {name} CHARACTER SET utf8mb3')
    configure()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for done in [pool.submit(sync) for sync in (sync_keystone, sync_nova, sync_placement)]:
            done.result()
    with contextlib.ExitStack() as end:
        servers = {}
        for name in SERVERS:
            servers[name] = serve(name)
            end.callback(servers[name].wait)
            end.callback(servers[name].terminate)
        made, instances = fill_nova()
        await_all(servers)
        cloud = connect()
        fill_keystone(cloud)
        cloud = connect()  # with the catalog
        fill_placement(cloud, made, instances)
        print(json.dumps({
            'auth_url': AUTH_URL, 'password': SECRET, 'nova_conf': str(folder / 'nova/nova.conf'), 'instances': instances,
            'service_conf': str(folder / 'nova/service.conf'), 'placement_conf': str(folder / 'placement/placement.conf'),
            'logs': str(logs), 'providers': {host: node.uuid for host, node in made.nodes.items()}}), flush=True)
        sys.stdin.read()


main()
