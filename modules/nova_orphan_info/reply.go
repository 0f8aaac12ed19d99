package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/orphan"
)

// reply is the module's answer.
type reply struct {
	ansible.Result
	// Scope is what was asked for, and so what a reader must not take for the whole.
	Scope    scope            `json:"scope"`
	Findings []orphan.Finding `json:"findings"`
	// NotOrphaned were named, and nothing is wrong with them, or not yet: they are told, and are no findings.
	NotOrphaned []orphan.Finding `json:"not_orphaned"`
	// Unknown may be orphans, if what could not be read were known.
	Unknown []orphan.Doubt `json:"unknown"`
	Unread  []unread       `json:"unread"`
	Hosts   []host         `json:"hosts"`
	Counts  counts         `json:"counts"`
	TakenAt string         `json:"taken_at"` // UTC, by the database's clock
	Seconds float64        `json:"seconds"`
	Table   []string       `json:"table"`
	// Instances are those that were asked for, in that order.
	Instances []orphan.Assessment `json:"instances"`
	// NovaManage is the command that maps those of them again that have lost their mapping; empty if there are none, or it is not found.
	NovaManage []string `json:"nova_manage"`
}

// scope has the options that limit what is told; an empty list is all.
type scope struct {
	Instances []string `json:"instance_uuid"`
	Hosts     []string `json:"host"`
	Projects  []string `json:"project"`
	Kinds     []string `json:"kinds"`
}

// unread is a source that could not be read, or was not asked.
type unread struct {
	Source string `json:"source"`
	Reason string `json:"reason"`
}

// host is a compute host with what it has, and what findings hold of it.
type host struct {
	Host       string         `json:"host"`
	Hypervisor string         `json:"hypervisor_hostname"`
	Cell       string         `json:"cell"`
	Service    string         `json:"service"` // up, down, none
	VCPUs      int64          `json:"vcpus"`
	MemoryMB   int64          `json:"memory_mb"`
	DiskGB     int64          `json:"disk_gb"`
	Held       map[string]int `json:"held"`
}

type counts struct {
	Instances int `json:"instances"`
	Consumers int `json:"consumers"`
	Providers int `json:"providers"`
	Domains   int `json:"domains"`
	Cells     int `json:"cells"`
	Findings  int `json:"findings"`
	Unknown   int `json:"unknown"`
	Unread    int `json:"unread"`
	// Pending were not seen in as many audits in a row as sightings wants.
	Pending int `json:"pending"`
}

func newReply(a *audit, began time.Time) *reply {
	r := &reply{Unread: a.unread(), TakenAt: a.picture.Now.UTC().Format(time.RFC3339), Findings: []orphan.Finding{}, Unknown: []orphan.Doubt{},
		NotOrphaned: []orphan.Finding{}, Hosts: []host{}, Table: []string{}, NovaManage: []string{}}
	list := func(given []string) []string { return append([]string{}, given...) }
	r.Scope = scope{list(a.Instances), list(a.Hosts), list(a.Projects), list(a.Kinds)}
	r.Seconds = time.Since(began).Round(time.Millisecond).Seconds()
	r.Counts.Providers, r.Counts.Cells = len(a.picture.Providers), len(a.picture.Cells)
	for range a.picture.Placed {
		r.Counts.Consumers++
	}
	for _, h := range a.picture.Hypervisors {
		r.Counts.Domains += len(h.Domains)
	}
	r.Counts.Instances = a.picture.Instances()
	return r
}

// unread names each source that was not read.
func (a *audit) unread() []unread {
	sources := []unread{}
	if a.picture.PlacementFailure != "" {
		sources = append(sources, unread{"placement", a.picture.PlacementFailure})
	}
	for _, uuid := range slices.Sorted(maps.Keys(a.picture.UnreadProviders)) {
		sources = append(sources, unread{"resource provider " + a.picture.Providers[uuid].Name, a.picture.UnreadProviders[uuid]})
	}
	for _, cell := range a.picture.Cells {
		if cell.Failure != "" {
			sources = append(sources, unread{"cell " + cell.Name, cell.Failure})
		}
	}
	for _, service := range slices.Sorted(maps.Keys(a.unasked)) {
		sources = append(sources, unread{service, a.unasked[service].Error()})
	}
	if !a.picture.HypervisorsAsked {
		return append(sources, unread{"hypervisors", "they were not asked: option domains takes what libvirt_domain_info answers on each"})
	}
	hosts := a.picture.UnreadHosts()
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		sources = append(sources, unread{"hypervisor " + host, hosts[host]})
	}
	return sources
}

// finish keeps what was asked for, and says it in brief.
func (a *audit) finish(r *reply) error {
	// What is not asked for is seen all the same: the next audit may ask for it. Of what is named something is always said.
	var pending []orphan.Finding
	if a.Sightings > 1 && !a.picture.Named {
		var err error
		if r.Findings, pending, err = a.seenOften(r.Findings, r.TakenAt); err != nil {
			return err
		}
	}
	r.Findings = slices.DeleteFunc(r.Findings, func(f orphan.Finding) bool {
		if f.Kind == "" {
			r.NotOrphaned = append(r.NotOrphaned, f)
		}
		return f.Kind == ""
	})
	r.Counts.Pending = len(slices.DeleteFunc(pending, a.isNotAskedFor))
	r.Findings = slices.DeleteFunc(r.Findings, a.isNotAskedFor)
	// What is at no host that is known may be at one that is asked for.
	r.Unknown = slices.DeleteFunc(r.Unknown, func(d orphan.Doubt) bool { return len(d.Hosts) > 0 && !a.asksForHost(d.Hosts) })
	r.Counts.Findings, r.Counts.Unknown, r.Counts.Unread = len(r.Findings), len(r.Unknown), len(r.Unread)
	r.Msg = r.found()
	r.Hosts, r.Table = a.hosts(r.Findings), append(table(slices.Concat(r.Findings, r.NotOrphaned), a.picture.Now), r.Msg, r.Counts.seen())
	for _, source := range r.Unread {
		r.Warnings = append(r.Warnings, source.Source+" was not read: "+source.Reason)
	}
	return nil
}

// found says how much there is of all that a reader has to know of.
func (r *reply) found() string {
	text := fmt.Sprintf("%s, %d unknown, %s unread, %d pending", number(r.Counts.Findings, "finding"), r.Counts.Unknown,
		number(r.Counts.Unread, "source"), r.Counts.Pending)
	if len(r.NotOrphaned) > 0 {
		text += fmt.Sprintf(", %d not orphaned", len(r.NotOrphaned))
	}
	return text
}

// seen says what that is of.
func (c counts) seen() string {
	return fmt.Sprintf("looked at %s, %s, %s", number(c.Instances, "instance"), number(c.Consumers, "consumer"), number(c.Domains, "domain"))
}

func number(count int, of string) string {
	if count == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", count, of)
}

// unknownHost is an error where no host has a name that was asked for: of one that is mistyped, nothing would be told. A source that
// could not be read may know it.
func (a *audit) unknownHost(findings []orphan.Finding, doubts []orphan.Doubt) error {
	if len(a.Hosts) == 0 || a.picture.PlacementFailure != "" ||
		slices.ContainsFunc(a.picture.Cells, func(c orphan.CellPicture) bool { return c.Failure != "" }) {
		return nil
	}
	var novas, others []string
	for _, cell := range a.picture.Cells {
		for _, service := range cell.Services {
			novas = append(novas, service.Host)
		}
		for _, node := range cell.Nodes {
			novas = append(novas, node.Host)
		}
		for _, instance := range cell.Instances {
			others = append(others, instance.Host)
		}
	}
	// One that was scrapped may only be known by what is left on it.
	for _, f := range findings {
		others = append(others, f.Hosts...)
	}
	for _, d := range doubts {
		others = append(others, d.Hosts...)
	}
	others = slices.AppendSeq(others, maps.Keys(a.picture.UnreadHosts()))
	for _, host := range a.Hosts {
		if slices.Contains(novas, host) || slices.Contains(others, host) {
			continue
		}
		slices.Sort(novas)
		known := slices.Compact(novas)
		if more := len(known) - someHosts; more > 0 {
			known = append(known[:someHosts], fmt.Sprintf("and %d more", more))
		}
		return fmt.Errorf("host (audit_orphans_hosts of audit_orphans.yml): no compute service or compute node has the host %q, and nothing is "+
			"left on one of that name. Nova's hosts are: %s", host, strings.Join(known, ", "))
	}
	return nil
}

// someHosts are enough to see how they are named.
const someHosts = 20

func (a *audit) isNotAskedFor(f orphan.Finding) bool {
	return len(a.Kinds) > 0 && !slices.Contains(a.Kinds, string(f.Kind)) || len(a.Projects) > 0 && !slices.Contains(a.Projects, f.Project) ||
		!a.asksForHost(f.Hosts)
}

func (a *audit) asksForHost(hosts []string) bool {
	return len(a.Hosts) == 0 || slices.ContainsFunc(hosts, func(h string) bool { return slices.Contains(a.Hosts, h) })
}

// plausible is how many findings no share of the cloud makes implausible: of a small one, most may be orphans.
const plausible = 20

// implausible is an error before anybody is asked about so many volumes and ports.
func (a *audit) implausible(findings int) error {
	instances := a.picture.Instances()
	if a.picture.Named || findings <= plausible || a.MaxFindingsPercent == 100 || findings*100 <= a.MaxFindingsPercent*instances {
		return nil
	}
	return fmt.Errorf("%d findings beside %s, more than max_findings_percent (%d): rather than that, a source is wrong or empty "+
		"(another cloud's nova_conf or placement, a database that was emptied). If it is true, give max_findings_percent: 100. "+
		"Nothing was changed", findings, number(instances, "instance"), a.MaxFindingsPercent)
}

// hosts are the compute nodes in the order of their names.
func (a *audit) hosts(findings []orphan.Finding) []host {
	hosts, held := []host{}, map[string]map[string]int{}
	for _, f := range findings {
		for _, remnant := range f.Remains {
			if held[remnant.Host] == nil {
				held[remnant.Host] = map[string]int{}
			}
			for class, amount := range remnant.Resources {
				held[remnant.Host][class] += amount
			}
		}
	}
	for _, cell := range a.picture.Cells {
		services := map[string]string{}
		for _, service := range cell.Services {
			services[service.Host] = "up"
			if service.ForcedDown || cell.Now.Sub(service.SeenAt) > a.picture.DownTime {
				services[service.Host] = "down"
			}
		}
		for _, node := range cell.Nodes {
			one := host{node.Host, node.Hypervisor, cell.Name, cmp.Or(services[node.Host], "none"), node.VCPUs, node.MemoryMB, node.DiskGB,
				map[string]int{}}
			maps.Copy(one.Held, held[node.Host])
			hosts = append(hosts, one)
		}
	}
	slices.SortFunc(hosts, func(a, b host) int { return cmp.Compare(a.Host+" "+a.Hypervisor, b.Host+" "+b.Hypervisor) })
	return hosts
}
