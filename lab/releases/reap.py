"""reap.py UUID: what a release's own nova-compute does about the guest of an instance that is deleted in a `lab/lab database`.

Its periodic task is real; the hypervisor and the other services are mocks. Prints, as JSON, how often it asked them for what.
"""
import json
import sys
from unittest import mock

import seed  # noqa: F401  tells nova where the databases are
from nova import config, context, crypto, objects
from nova.compute import manager, utils as compute_utils

config.parse_args(['reap'], default_config_files=[])
objects.register_all()
compute = manager.ComputeManager.__new__(manager.ComputeManager)
compute.host = 'compute1'
for name in ('compute_rpcapi', 'driver', 'instance_events', 'manila_api', 'network_api', 'notifier', 'query_client', 'reportclient', 'rt',
             'volume_api'):
    setattr(compute, name, mock.MagicMock())
if hasattr(manager, 'share_management'):
    compute.share_manager = manager.share_management.ShareManager(compute.manila_api, compute.driver)
compute.driver.list_instance_uuids.return_value = sys.argv[1:]
admin = context.get_admin_context()
context.set_target_cell(admin, objects.InstanceMapping.get_by_instance_uuid(admin, sys.argv[1]).cell_mapping)
with mock.patch.multiple(compute_utils, notify_about_instance_action=mock.DEFAULT, notify_about_share_attach_detach=mock.DEFAULT), \
        mock.patch.object(crypto, '_get_key_manager'):
    compute._cleanup_running_deleted_instances(admin)
asked = {'destroy': compute.driver.destroy, 'umount_share': compute.driver.umount_share, 'detach': compute.volume_api.attachment_delete,
         'deallocate': compute.network_api.deallocate_for_instance}
print(json.dumps({what: call.call_count for what, call in asked.items()}))
