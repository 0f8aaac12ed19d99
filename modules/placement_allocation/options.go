package main

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/placement"
)

var className = regexp.MustCompile(`^[A-Z0-9_]{1,255}$`)

// checkResources holds the option to Placement's schema
// (placement/schemas/allocation.py), whose own answer would only be a 400.
func checkResources(value any) (any, error) {
	given, _ := value.(map[string]any)
	if len(given) == 0 {
		return nil, errors.New("must name at least one resource class: to take the provider out of the allocation, use state: absent")
	}
	resources := placement.Resources{}
	for _, class := range slices.Sorted(maps.Keys(given)) {
		if !className.MatchString(class) {
			return nil, fmt.Errorf("takes resource classes in capitals, digits and underscores, like VCPU, MEMORY_MB, DISK_GB or CUSTOM_GOLD, "+
				"got: %q", class)
		}
		// Placement's column is a 32 bit integer.
		amount, err := strconv.ParseInt(strings.TrimSpace(fmt.Sprint(given[class])), 10, 32)
		if err != nil || amount < 1 {
			return nil, fmt.Errorf("takes a whole number from 1 to 2147483647 for %s, got: %v", class, given[class])
		}
		resources[class] = int(amount)
	}
	return resources, nil
}

// instance is a value of instance_uuid.
func instance(value any) (string, error) {
	checked, err := ansible.UUID(value)
	if err != nil {
		return "", fmt.Errorf("%w (or a dictionary of such by the consumers' UUIDs)", err)
	}
	return checked.(string), nil
}

func rules() []ansible.Rule {
	rules := []ansible.Rule{
		ansible.RequiredOneOf("consumer", "resource_provider", "backup_file", "backup_content"),
		ansible.RequiredIf("state", absent, "consumer"),
		ansible.RequiredIf("state", saved, "consumer"),
		savedAsAWhole,
		ansible.MutuallyExclusive("backup_file", "backup_content"),
		backup.ContentsOf("consumer"),
	}
	for _, option := range []string{"resources", "project_id", "user_id", "backup_file", "backup_content"} {
		rules = append(rules, ansible.OnlyIf(option, "state", present))
	}
	// What a backup says is not to be said twice.
	for _, option := range []string{"resource_provider", "resources", "project_id", "user_id"} {
		rules = append(rules, ansible.MutuallyExclusive("backup_file", "backup_content", option))
	}
	return append(rules, presentFromOptionsOrBackup)
}

// presentFromOptionsOrBackup: what to put there is either said, for one consumer, or read.
func presentFromOptionsOrBackup(values map[string]any) error {
	consumers, _ := values["consumer"].([]any)
	_, file := values["backup_file"]
	_, content := values["backup_content"]
	if err := ansible.RequiredIf("state", present, "consumer", "resource_provider", "resources")(values); err != nil && !file && !content {
		return fmt.Errorf("%w (or backup_file in their place)", err)
	}
	if values["state"] == present && len(consumers) > 1 && !content {
		return fmt.Errorf("argument 'consumer' takes one UUID with state: present, got: %d", len(consumers))
	}
	return nil
}

// savedAsAWhole: a backup of a part would be put back as if it were the whole.
func savedAsAWhole(values map[string]any) error {
	if _, given := values["resource_provider"]; given && values["state"] == saved {
		return errors.New("parameter 'resource_provider' is not taken with state: saved, which writes down all that a consumer holds")
	}
	return nil
}
