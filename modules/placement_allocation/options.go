package main

import (
	"encoding/json"
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
		amount, err := amountOf(given[class])
		if err != nil {
			return nil, fmt.Errorf("takes a whole number from 1 to 2147483647 for %s, got: %v", class, given[class])
		}
		resources[class] = amount
	}
	return resources, nil
}

func amountOf(value any) (int, error) {
	var text string
	switch v := value.(type) {
	case string:
		text = strings.TrimSpace(v)
	case json.Number:
		text = v.String()
	}
	// Placement's column is a 32 bit integer.
	amount, err := strconv.ParseInt(text, 10, 32)
	if err == nil && amount < 1 {
		err = errors.New("below 1")
	}
	return int(amount), err
}

// presentFromOptionsOrBackup: what to put there is either said or read.
func presentFromOptionsOrBackup(values map[string]any) error {
	consumers, _ := values["consumer"].([]any)
	if source := backupOption(values); source != "" {
		if len(consumers) > 1 {
			return fmt.Errorf("argument 'consumer' takes at most one UUID with %s, got: %d", source, len(consumers))
		}
		return nil
	}
	if err := ansible.RequiredIf("state", present, "consumer", "resource_provider", "resources")(values); err != nil {
		return fmt.Errorf("%w (or backup_file in their place)", err)
	}
	if values["state"] == present && len(consumers) != 1 {
		return fmt.Errorf("argument 'consumer' takes exactly one UUID with state: present, got: %d", len(consumers))
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

// backupOption is the option that gives a backup, if one does.
func backupOption(values map[string]any) string {
	for _, option := range []ansible.Option{backup.FileOption, backup.ContentOption} {
		if _, given := values[option.Name]; given {
			return option.Name
		}
	}
	return ""
}

// notWithBackup: what a backup says is not to be said twice.
func notWithBackup(options ...string) ansible.Rule {
	return func(values map[string]any) error {
		source := backupOption(values)
		for _, option := range options {
			if _, given := values[option]; given && source != "" {
				return ansible.MutuallyExclusive(source, option)(values)
			}
		}
		return nil
	}
}
