package scaletest

import "fmt"

// defaults are the columns that are written of each table, with what is in them unless a row says otherwise. The texts
// are as Nova's objects serialize themselves; created_at is always given in the rows that have it.
var defaults = map[string]Row{
	// The API database.
	"flavors": {"id": nil, "name": nil, "flavorid": nil, "memory_mb": nil, "vcpus": nil, "root_gb": nil, "ephemeral_gb": 0, "swap": 0,
		"rxtx_factor": 1.0, "vcpu_weight": 0, "disabled": 0, "is_public": 1},
	"host_mappings": {"id": nil, "host": nil, "cell_id": nil},
	"instance_mappings": {"created_at": nil, "instance_uuid": nil, "cell_id": nil, "project_id": nil, "user_id": nil,
		"queued_for_delete": 0},
	"request_specs": {"created_at": nil, "instance_uuid": nil, "spec": nil},
	"build_requests": {"created_at": nil, "instance_uuid": nil, "project_id": nil, "instance": nil, "block_device_mappings": nil,
		"tags": nil},
	// A cell.
	"services": {"id": nil, "host": nil, "binary": "nova-compute", "topic": "compute", "report_count": 1, "disabled": 0, "deleted": 0,
		"deleted_at": nil, "last_seen_up": nil, "updated_at": nil, "forced_down": 0, "version": 64, "uuid": nil},
	"compute_nodes": {"id": nil, "host": nil, "hypervisor_hostname": nil, "uuid": nil, "deleted": 0, "deleted_at": nil, "vcpus": 64,
		"memory_mb": 524288, "local_gb": 8000, "vcpus_used": 0, "memory_mb_used": 0, "local_gb_used": 0, "hypervisor_type": "QEMU",
		"hypervisor_version": 7002022, "cpu_info": `{"arch": "x86_64", "model": "Icelake-Server", "vendor": "Intel"}`, "running_vms": 0,
		"host_ip": "192.0.2.1", "supported_instances": `[["x86_64", "kvm", "hvm"]]`, "metrics": "[]", "stats": `{"failed_builds": "0"}`,
		"ram_allocation_ratio": 1.5, "cpu_allocation_ratio": 16.0, "disk_allocation_ratio": 1.0, "mapped": 1,
		"numa_topology": nil, "pci_stats": nil},
	"instances": {"id": nil, "uuid": nil, "created_at": nil, "updated_at": nil, "deleted_at": nil, "terminated_at": nil, "launched_at": nil,
		"deleted": 0, "project_id": nil, "user_id": nil, "display_name": nil, "hostname": nil, "host": nil, "node": nil, "launched_on": nil,
		"vm_state": "active", "task_state": nil, "power_state": 1, "memory_mb": nil, "vcpus": nil, "root_gb": nil, "ephemeral_gb": 0,
		"instance_type_id": nil, "image_ref": "", "root_device_name": "/dev/vda", "progress": 0, "cleaned": 0, "locked": 0, "hidden": 0,
		"launch_index": 0, "disable_terminate": 0, "reservation_id": "r-scale", "config_drive": "", "auto_disk_config": 1,
		"availability_zone": "nova"},
	"instance_extra": child(Row{"flavor": nil, "pci_requests": "[]", "numa_topology": nil, "migration_context": nil,
		"keypairs": `{"nova_object.name": "KeyPairList", "nova_object.namespace": "nova", "nova_object.version": "1.3", "nova_object.data": {"objects": []}}`}),
	"instance_info_caches":     child(Row{"network_info": "[]"}),
	"instance_system_metadata": child(Row{"key": nil, "value": nil}),
	"block_device_mapping": child(Row{"uuid": nil, "source_type": "image", "destination_type": "local", "device_type": "disk",
		"disk_bus": "virtio", "device_name": "/dev/vda", "boot_index": 0,
		"delete_on_termination": 1, "no_device": 0, "volume_id": nil, "attachment_id": nil,
		"volume_size": nil, "connection_info": nil}),
	"virtual_interfaces": child(Row{"uuid": nil, "address": nil}),
	"migrations": child(Row{"id": nil, "uuid": nil, "updated_at": nil, "status": nil, "migration_type": nil, "source_compute": nil,
		"source_node": nil, "dest_compute": nil, "dest_node": nil, "dest_host": "192.0.2.2", "old_instance_type_id": nil,
		"new_instance_type_id": nil, "cross_cell_move": 0, "hidden": 0, "project_id": nil, "user_id": nil}),
	"instance_actions": child(Row{"action": "create", "request_id": nil, "project_id": nil, "user_id": nil}),
	"instance_faults":  child(Row{"code": 500, "message": nil, "host": nil}),
	// It is found by the uuid as its own.
	"instance_id_mappings": {"created_at": nil, "uuid": nil, "deleted": 0, "deleted_at": nil, "id": nil},
	// Placement.
	"projects":           {"id": nil, "external_id": nil},
	"users":              {"id": nil, "external_id": nil},
	"resource_classes":   {"id": nil, "name": nil},
	"resource_providers": {"id": nil, "uuid": nil, "name": nil, "generation": 1, "root_provider_id": nil, "parent_provider_id": nil},
	"inventories": {"id": nil, "resource_provider_id": nil, "resource_class_id": nil, "total": nil, "reserved": 0, "min_unit": 1,
		"max_unit": nil, "step_size": 1, "allocation_ratio": nil},
	"traits":                       {"id": nil, "name": nil},
	"placement_aggregates":         {"id": nil, "uuid": nil},
	"resource_provider_aggregates": {"resource_provider_id": nil, "aggregate_id": nil},
	"resource_provider_traits":     {"resource_provider_id": nil, "trait_id": nil},
	"consumer_types":               {"id": nil, "name": nil},
	"consumers":                    {"id": nil, "uuid": nil, "project_id": nil, "user_id": nil, "generation": 1, "consumer_type_id": nil},
	"allocations":                  {"id": nil, "resource_provider_id": nil, "consumer_id": nil, "resource_class_id": nil, "used": nil},
}

// child has the columns that all tables beside instances have. Its id is given, since deleted = id must be written with it.
func child(more Row) Row {
	row := Row{"id": nil, "instance_uuid": nil, "created_at": nil, "deleted": 0, "deleted_at": nil}
	for column, value := range more {
		row[column] = value
	}
	return row
}

// serialized is an object of Nova's as oslo.versionedobjects writes it.
func serialized(name, version, data string) string {
	return fmt.Sprintf(`{"nova_object.name": "%s", "nova_object.namespace": "nova", "nova_object.version": "%s", "nova_object.data": {%s}}`, name, version, data)
}

func (f flavor) serialized() string {
	return serialized("Flavor", "1.2", fmt.Sprintf(`"id": %d, "name": "%s", "flavorid": "%s", "memory_mb": %d, "vcpus": %d, "root_gb": %d, "ephemeral_gb": 0, "swap": 0, "rxtx_factor": 1.0, "vcpu_weight": 0, "disabled": false, "is_public": true, "extra_specs": {}, "description": null, "created_at": null, "updated_at": null, "deleted_at": null, "deleted": false`,
		f.id, f.name, f.name, f.memoryMB, f.vcpus, f.rootGB))
}

func (i *instance) requestSpec() string {
	return serialized("RequestSpec", "1.14", fmt.Sprintf(`"instance_uuid": "%s", "project_id": "%s", "user_id": "%s", "num_instances": 1, "availability_zone": null, "ignore_hosts": null, "force_hosts": null, "force_nodes": null, "numa_topology": null, "scheduler_hints": {}, "is_bfv": %t, "flavor": %s, "pci_requests": %s, "image": %s, "security_groups": %s`,
		i.uuid, i.project, i.user, i.flavor.fromVolume, i.flavor.serialized(), serialized("InstancePCIRequests", "1.1", `"requests": []`),
		serialized("ImageMeta", "1.8", `"min_ram": 0, "min_disk": 0, "properties": `+serialized("ImageMetaProps", "1.34", "")),
		serialized("SecurityGroupList", "1.1", `"objects": []`)))
}

// serialized is the instance as a build request has it, which is before any cell knows it.
func (i *instance) serialized() string {
	return serialized("Instance", "2.7", fmt.Sprintf(`"uuid": "%s", "project_id": "%s", "user_id": "%s", "display_name": "%s", "hostname": "%s", "vm_state": "building", "task_state": "scheduling", "memory_mb": %d, "vcpus": %d, "root_gb": %d, "ephemeral_gb": 0, "image_ref": "", "launch_index": 0, "power_state": 0, "locked": false, "hidden": false, "metadata": {}, "system_metadata": {}, "flavor": %s, "info_cache": %s, "security_groups": %s, "keypairs": %s`,
		i.uuid, i.project, i.user, i.name, i.name, i.flavor.memoryMB, i.flavor.vcpus, i.flavor.rootGB, i.flavor.serialized(),
		serialized("InstanceInfoCache", "1.5", fmt.Sprintf(`"instance_uuid": "%s", "network_info": null`, i.uuid)),
		serialized("SecurityGroupList", "1.1", `"objects": []`), serialized("KeyPairList", "1.3", `"objects": []`)))
}
