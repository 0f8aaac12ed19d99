package main

import (
	"fmt"
	"slices"
	"strings"
	"unique"

	"github.com/go-viper/mapstructure/v2"

	"nova-orphan/internal/orphan"
)

// hypervisor is what libvirt_domain_info answers of one, as far as it is judged here, and
// what the play knows of it.
type hypervisor struct {
	Host               string   `json:"host"`
	NovaHost           string   `json:"nova_host"`
	HypervisorHostname string   `json:"hypervisor_hostname"`
	Failure            string   `json:"failure"`
	Unread             []string `json:"unread"`
	Domains            []struct {
		UUID  string `json:"uuid"`
		Name  string `json:"name"`
		State string `json:"state"`
		Nova  *struct {
			Name      string `json:"name"`
			ProjectID string `json:"project_id"`
		} `json:"nova"`
		Disks []struct {
			VolumeID string   `json:"volume_id"`
			UsedBy   []string `json:"used_by"`
		} `json:"disks"`
	} `json:"domains"`
	Files []struct {
		UUID   string   `json:"uuid"`
		Path   string   `json:"path"`
		UsedBy []string `json:"used_by"`
	} `json:"instance_files"`
}

// isHypervisor takes an entry of the option domains, which is decoded already where the play hands them on as JSON text.
func isHypervisor(value any) (any, error) {
	var h hypervisor
	if decoded, ok := value.(*hypervisor); ok {
		h = *decoded
	} else {
		decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: &h, TagName: "json"})
		if err == nil {
			err = decoder.Decode(value)
		}
		if err != nil {
			return nil, fmt.Errorf("takes what libvirt_domain_info answers of each hypervisor, with host, its name in the inventory: %w", err)
		}
	}
	switch {
	case h.Host == "":
		return nil, fmt.Errorf("takes entries with host, the hypervisor's name in the inventory, beside what libvirt_domain_info answered of it")
	case h.HypervisorHostname == "" && h.Failure == "":
		return nil, fmt.Errorf("takes entries with hypervisor_hostname, as libvirt_domain_info answers it, or failure, why it did not: "+
			"%s has neither", h.Host)
	}
	// Only this is kept of it: there may be a hundred thousand domains.
	return h.picture(), nil
}

// picture is the hypervisor in the judge's terms.
func (h hypervisor) picture() orphan.Hypervisor {
	result := orphan.Hypervisor{Host: h.Host, NovaHost: h.NovaHost, Name: h.HypervisorHostname, Failure: h.Failure, Unread: h.Unread}
	for _, d := range h.Domains {
		domain := orphan.Domain{UUID: strings.ToLower(d.UUID), Name: d.Name, State: unique.Make(d.State).Value()}
		if d.Nova != nil {
			domain.Nova, domain.InstanceName, domain.InstanceProject = true, d.Nova.Name, unique.Make(d.Nova.ProjectID).Value()
		}
		for _, disk := range d.Disks {
			if disk.VolumeID != "" {
				domain.Volumes = append(domain.Volumes, disk.VolumeID)
			}
			for _, other := range disk.UsedBy {
				if !slices.Contains(domain.SharesDisksWith, other) {
					domain.SharesDisksWith = append(domain.SharesDisksWith, other)
				}
			}
		}
		result.Domains = append(result.Domains, domain)
	}
	for _, f := range h.Files {
		result.Files = append(result.Files, orphan.InstanceFiles{UUID: strings.ToLower(f.UUID), Path: f.Path, UsedBy: f.UsedBy})
	}
	return result
}

var kinds = []orphan.Kind{orphan.KindError, orphan.KindDeleting, orphan.KindZombie, orphan.KindHalfDeleted, orphan.KindNoMapping,
	orphan.KindMapping, orphan.KindBuildRequest, orphan.KindHostGone, orphan.KindAllocation, orphan.KindMigration, orphan.KindOtherProvider,
	orphan.KindDomain, orphan.KindOtherHost, orphan.KindFiles, orphan.KindProviderWithout}

func isKind(value any) (any, error) {
	text, _ := value.(string)
	if !slices.Contains(kinds, orphan.Kind(text)) {
		return nil, fmt.Errorf("takes kinds of findings, which are %v, got: %q", kinds, text)
	}
	return value, nil
}
