// Package openstack authenticates the modules, by any of the ways in which
// people keep OpenStack credentials, and hands out clients for the services.
//
// Requests end with their context. Reads that fail for a passing reason are
// repeated a few times; writes never are: whoever sent one reads back first.
package openstack
