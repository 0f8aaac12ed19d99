CREATE USER nova_orphan@'%' IDENTIFIED BY '...';
GRANT SELECT ON nova_api.cell_mappings TO nova_orphan@'%';
GRANT SELECT, UPDATE, DELETE, INSERT ON nova_api.instance_mappings TO nova_orphan@'%';
GRANT SELECT, DELETE, INSERT ON nova_api.build_requests TO nova_orphan@'%';
GRANT SELECT, DELETE, INSERT ON nova_api.request_specs TO nova_orphan@'%';
GRANT SELECT, DELETE, INSERT ON nova_api.instance_group_member TO nova_orphan@'%';

GRANT SELECT ON nova.* TO nova_orphan@'%';
GRANT UPDATE ON nova.instances TO nova_orphan@'%';
GRANT UPDATE ON nova.security_group_instance_association TO nova_orphan@'%';
GRANT UPDATE ON nova.instance_info_caches TO nova_orphan@'%';
GRANT UPDATE ON nova.instance_metadata TO nova_orphan@'%';
GRANT UPDATE ON nova.instance_faults TO nova_orphan@'%';
GRANT UPDATE ON nova.instance_extra TO nova_orphan@'%';
GRANT UPDATE, DELETE ON nova.instance_system_metadata TO nova_orphan@'%';
GRANT UPDATE ON nova.block_device_mapping TO nova_orphan@'%';
GRANT UPDATE ON nova.migrations TO nova_orphan@'%';
GRANT UPDATE ON nova.virtual_interfaces TO nova_orphan@'%';
GRANT UPDATE ON nova.instance_id_mappings TO nova_orphan@'%';
GRANT DELETE, INSERT ON nova.tags TO nova_orphan@'%';
GRANT DELETE, INSERT ON nova.console_auth_tokens TO nova_orphan@'%';
-- From 2024.1 on, where the table exists, for remove_share_mappings:
-- GRANT DELETE ON nova.share_mapping TO nova_orphan@'%';
