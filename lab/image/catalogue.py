"""Fill the new cloud: service users, endpoints, flavors and an image.

One process instead of forty "openstack" commands of two seconds each.
"""
import os
import sys

import openstack

SERVICES = {  # name: (type, URL)
    "cinder": ("volumev3", "http://127.0.0.1:8776/v3/%(project_id)s"),
    "glance": ("image", "http://127.0.0.1:9292"),
    "neutron": ("network", "http://127.0.0.1:9696"),
    "nova": ("compute", "http://127.0.0.1:8774/v2.1"),
    "placement": ("placement", "http://127.0.0.1:8778"),
}


def main(image_file):
    cloud = openstack.connect(cloud="lab")
    identity = cloud.identity
    project = identity.create_project(name="service", domain_id="default")
    admin = identity.find_role("admin")
    # Since 2023.1 Keystone's bootstrap makes it.
    of_services = identity.find_role("service") or identity.create_role(name="service")
    for name, (service_type, url) in SERVICES.items():
        user = identity.create_user(
            name=name, domain_id="default", password=os.environ[f"{name.upper()}_PASSWORD"]
        )
        identity.assign_project_role_to_user(project, user, admin)
        if name == "neutron":  # by whose account Nova binds ports
            identity.assign_project_role_to_user(project, user, of_services)
        service = identity.create_service(name=name, type=service_type)
        for interface in ("admin", "internal", "public"):
            identity.create_endpoint(
                service_id=service.id, region_id="RegionOne", interface=interface, url=url
            )

    cloud = openstack.connect(cloud="lab")  # with the new catalogue
    cloud.compute.create_flavor(name="m1.nano", vcpus=1, ram=64, disk=1)
    cloud.compute.create_flavor(name="m1.micro", vcpus=1, ram=96, disk=1)
    cloud.create_image("tiny", filename=image_file, disk_format="qcow2", container_format="bare", wait=True)


if __name__ == "__main__":
    main(sys.argv[1])
