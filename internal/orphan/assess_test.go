package orphan

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// assess asks for mine by its own uuid. DownTime is Nova's default, and both hosts' services have just reported.
func (s *scene) assess(consents Consents, asked ...string) []Assessment {
	if len(asked) == 0 {
		asked = []string{mine}
	}
	for uuid, look := range s.looks {
		if row := look.Cells[0].Row; row != nil {
			look.Record = &Record{Judged: Judged{UpdatedAt: row.UpdatedAt.Format(time.RFC3339), VMState: row.VMState, TaskState: row.TaskState,
				Host: row.Host}, Node: row.Node, Launched: true, Cell: CellName{"cell-uuid", "cell1"}}
			s.looks[uuid] = look
		}
	}
	return s.Assess(asked, s.looks, s.owners, Commands{}, consents)
}

// newNamed is a scene of named instances.
func newNamed() *scene {
	s := newScene()
	s.Named, s.DownTime = true, time.Minute
	for i := range s.Cells[0].Services {
		s.Cells[0].Services[i].SeenAt = noon.Add(-10 * time.Second)
	}
	return s
}

func inError(change ...func(*Row)) *Row {
	return live(append([]func(*Row){func(r *Row) { r.VMState = "error" }}, change...)...)
}

// on puts the row on a host and a node.
func on(host, node string) func(*Row) { return func(r *Row) { r.Host, r.Node = host, node } }

// told is an assessment in brief: the verdict, the hosts that were read, and those that were not.
func (a Assessment) told() string {
	var hosts, unasked []string
	for _, h := range a.Hosts {
		hosts = append(hosts, strings.TrimRight(fmt.Sprint(h.Host, "=", h.NovaHost, " ", strings.Join(h.NamedBy, "+"), " ", h.State, " ",
			strings.Join(h.ComputeID, "+")), " "))
	}
	for _, u := range a.Unasked {
		unasked = append(unasked, u.NovaHost+strings.Repeat(" gone", map[bool]int{true: 1}[u.Gone]))
	}
	return fmt.Sprint(a.Verdict, "; ", strings.Join(hosts, ", "), "; ", strings.Join(unasked, ", "))
}

func TestEveryHostThatMayHaveADomainIsLookedAtOrToldAsNotAsked(t *testing.T) {
	down := func(s *scene, host int) { s.Cells[0].Services[host].SeenAt = noon.Add(-time.Hour) }
	unreached := func(s *scene, host int) {
		s.Hypervisors[host] = Hypervisor{Host: []string{"host1", "host2"}[host], Failure: "could not be reached"}
	}
	twoByOneName := func(s *scene) {
		s.evidence(inError(on("", "")), nil)
		look := s.looks[mine]
		look.Hosts = []string{"c1.az1", "c1.az2"}
		s.looks[mine] = look
		for _, host := range look.Hosts {
			s.Cells[0].Nodes = append(s.Cells[0].Nodes, ComputeNode{UUID: host, Host: host, Hypervisor: host})
		}
		s.Hypervisors = append(s.Hypervisors, Hypervisor{Host: "c1", Failure: "could not be reached"})
	}
	bareMetal := func(s *scene) {
		for _, node := range []string{"node7", "node8"} {
			s.Cells[0].Nodes = append(s.Cells[0].Nodes, ComputeNode{UUID: node, Host: "ironic1", Hypervisor: node, Ironic: true})
			s.Providers[node] = Provider{UUID: node, Name: node, Root: node}
		}
		s.Cells[0].Services = append(s.Cells[0].Services, ComputeService{Host: "ironic1", SeenAt: noon})
	}
	for _, test := range []struct {
		name     string
		make     func(*scene)
		consents Consents
		want     string   // as told
		refusals []string // parts of each
	}{
		{name: "its row's host", make: func(s *scene) { s.evidence(inError(), nil); s.domain(0, true) },
			want: "stuck; inv1=host1 row+domain running; "},
		{name: "K8: no host, but an allocation and a domain", make: func(s *scene) {
			s.evidence(inError(on("", "")), nil)
			s.hold(mine, node2)
			s.domain(1, true)
		}, want: "stuck; inv2=host2 allocation+domain running; "},
		{name: "no host, and one that it once had", make: func(s *scene) {
			s.evidence(inError(on("", "")), nil)
			look := s.looks[mine]
			look.Hosts = []string{"host2"}
			s.looks[mine] = look
		}, want: "stuck; inv2=host2 record; "},
		{name: "no host, and a hypervisor that was not read", make: func(s *scene) {
			s.evidence(inError(on("", "")), nil)
			s.hold(mine, node1)
			unreached(s, 1)
		}, want: "unknown; inv1=host1 allocation; host2",
			refusals: []string{"Whether a guest of " + mine + " runs is unknown, and nothing was changed: host2 could not be reached. Have"}},
		{name: "a domain on a hypervisor that Nova does not know", make: func(s *scene) {
			s.evidence(inError(), nil)
			s.Hypervisors = append(s.Hypervisors, Hypervisor{Host: "inv3", Name: "old.example"})
			s.domain(2, true)
		}, want: "stuck; inv1=host1 row, inv3=old.example domain running; "},
		{name: "the same, of which the inventory says how Nova names it", make: func(s *scene) {
			s.evidence(inError(), nil)
			s.Hypervisors = append(s.Hypervisors, Hypervisor{Host: "inv3", Name: "old.example", NovaHost: "host3"})
			s.domain(2, true)
		}, want: "stuck; inv1=host1 row, inv3=host3 domain running; "},
		{name: "parts of a child and of a sharing provider", make: func(s *scene) {
			s.evidence(inError(on("host2", "host2.example")), nil)
			s.hold(mine, "numa")
			s.hold(mine, "share")
		}, want: "stuck; inv2=host2 row, inv1=host1 allocation; "},
		{name: "a provider of another service, and one of before there was a trait", make: func(s *scene) {
			s.evidence(inError(), nil)
			s.Providers["gpu"] = Provider{UUID: "gpu", Name: "pool", Root: "gpu"}
			s.Held[mine] = []Held{{"gpu", map[string]int{"VGPU": 1}}}
			s.Providers["old"] = Provider{UUID: "old", Name: "host9.example", Root: "old"}
			s.hold(mine, "old")
		}, want: "unknown; inv1=host1 row; host9.example", refusals: []string{"host9.example is none of the hypervisors in the inventory"}},
		{name: "K9: its host is in no inventory", make: func(s *scene) {
			s.evidence(inError(on("host9", "host9.example")), nil)
			s.Providers["old"] = Provider{UUID: "old", Name: "host9.example", Root: "old"}
			s.hold(mine, "old")
		}, want: "unknown; ; host9",
			refusals: []string{"host9 is none of the hypervisors in the inventory. Have .* consent with host_gone: host9$"}},
		{name: "K9, with consent", make: func(s *scene) { s.evidence(inError(on("host9", "host9.example")), nil) },
			consents: Consents{HostsGone: []string{"host7", "host9"}}, want: "stuck; ; host9 gone"},
		{name: "K10: its host does not answer", make: func(s *scene) { s.evidence(inError(), nil); unreached(s, 0); down(s, 0) },
			want: "unknown; ; host1", refusals: []string{"host1 could not be reached"}},
		{name: "its host does not answer, and has another name in the inventory", make: func(s *scene) {
			s.evidence(inError(), nil)
			unreached(s, 0)
			s.Hypervisors[0].Host = "rack7"
		}, want: "unknown; ; host1", refusals: []string{"that told their names, which rack7 did not: say which it is with compute_host: NAME"}},
		{name: "the same, and the operator says which", make: func(s *scene) {
			s.evidence(inError(), nil)
			unreached(s, 0)
			s.Hypervisors[0].Host = "rack7"
		}, consents: Consents{ComputeHost: "rack7"}, want: "unknown; ; host1", refusals: []string{"host1 could not be reached"}},
		{name: "K10, with consent by the inventory's name",
			make: func(s *scene) {
				s.evidence(inError(), nil)
				unreached(s, 0)
				s.Hypervisors[0].Host = "host1.mgmt"
				down(s, 0)
			},
			consents: Consents{HostsGone: []string{"host1.mgmt"}}, want: "stuck; ; host1 gone"},
		{name: "K10, while its nova-compute reports", make: func(s *scene) { s.evidence(inError(), nil); unreached(s, 0) },
			consents: Consents{HostsGone: []string{"host1"}}, want: "unknown; ; host1 gone",
			refusals: []string{"host1 cannot be gone, as host_gone: host1 says: its nova-compute reports itself up"}},
		{name: "the same, forced down", make: func(s *scene) {
			s.evidence(inError(), nil)
			unreached(s, 0)
			s.Cells[0].Services[0].ForcedDown = true
		}, consents: Consents{HostsGone: []string{"host1"}}, want: "unknown; ; host1 gone", refusals: []string{"though it is forced down"}},
		{name: "one of the inventory that did not answer and that two of Nova's may be", make: twoByOneName, want: "unknown; ; c1.az1, c1.az2",
			refusals: []string{"host_gone: c1.az1,c1.az2$"}},
		{name: "the same, with consent for one", make: twoByOneName, consents: Consents{HostsGone: []string{"c1.az1"}},
			want: "unknown; ; c1.az1 gone, c1.az2", refusals: []string{"nothing was changed: c1.az2 could not be reached. .*host_gone: c1.az2$"}},
		{name: "the same, with consent by the name of which it is not told whose it is", make: twoByOneName,
			consents: Consents{HostsGone: []string{"c1"}}, want: "unknown; ; c1.az1, c1.az2", refusals: []string{"host_gone: c1.az1,c1.az2$"}},
		{name: "the same, and a record has the short name, which may be either's", make: func(s *scene) {
			twoByOneName(s)
			look := s.looks[mine]
			look.Hosts = append(look.Hosts, "c1")
			s.looks[mine] = look
		}, consents: Consents{HostsGone: []string{"c1.az1", "c1.az2"}}, want: "unknown; ; c1.az1 gone, c1.az2 gone, c1",
			refusals: []string{"host_gone: c1$"}},
		{name: "the same, with consent for both", make: twoByOneName, consents: Consents{HostsGone: []string{"c1.az1", "c1.az2"}},
			want: "stuck; ; c1.az1 gone, c1.az2 gone"},
		{name: "one that did not answer and of which a record has the old name", make: func(s *scene) {
			s.evidence(inError(), nil)
			unreached(s, 0)
			down(s, 0)
			look := s.looks[mine]
			look.Hosts = []string{"host1.example", "former"}
			s.looks[mine] = look
			s.Cells[0].Nodes = append(s.Cells[0].Nodes, ComputeNode{UUID: "former", Host: "former", Hypervisor: "host1.example"})
		}, consents: Consents{HostsGone: []string{"former"}}, want: "stuck; ; host1 gone"},
		{name: "the consent for a host that was read", make: func(s *scene) { s.evidence(inError(), nil); s.domain(0, true) },
			consents: Consents{HostsGone: []string{"host1"}}, want: "stuck; inv1=host1 row+domain running; "},
		{name: "K14: moved, and the row is still on the source", make: func(s *scene) {
			s.evidence(inError(), nil)
			s.migrates("error", true)
			s.domain(1, true)
		}, want: "stuck; inv1=host1 row+record, inv2=host2 record+domain running; "},
		{name: "X6: the guest is where the move led to, which cannot be asked", make: func(s *scene) {
			s.evidence(inError(), nil)
			s.migrates("error", true)
			s.hold(mine, node2)
			unreached(s, 1)
		}, want: "unknown; inv1=host1 row+record; host2", refusals: []string{"host2 could not be reached"}},
		{name: "K16: its provider is an older one of the same name", make: func(s *scene) {
			s.evidence(live(func(r *Row) { r.Deleted = 1 }, on("host2", "host2.example")), nil)
			s.Providers["old"] = Provider{UUID: "old", Name: "host2.example", Root: "old", Compute: true}
			s.hold(mine, "old")
		}, want: "zombie; inv2=host2 row+allocation; "},
		{name: "K17: the service reports under the long name", make: func(s *scene) {
			s.evidence(inError(), nil)
			down(s, 0)
			s.Cells[0].Services = append(s.Cells[0].Services, ComputeService{Host: "host1.example", SeenAt: noon})
			s.Cells[0].Nodes = append(s.Cells[0].Nodes, ComputeNode{UUID: "new", Host: "host1.example", Hypervisor: "host1.example"})
		}, want: "stuck; inv1=host1.example row; "},
		{name: "a host with a domain and no compute service any more", make: func(s *scene) {
			s.evidence(inError(), nil)
			s.Cells[0].Services = s.Cells[0].Services[:1]
			s.domain(1, true)
		}, want: "stuck; inv1=host1 row, inv2=host2 domain running; "},
		{name: "a compute node without a name is no silent hypervisor's", make: func(s *scene) {
			s.evidence(inError(), nil)
			s.Cells[0].Nodes = append(s.Cells[0].Nodes, ComputeNode{UUID: "null", Host: "host1"})
			s.Hypervisors = append(s.Hypervisors, Hypervisor{Host: "rack9", Failure: "could not be reached"})
		}, want: "stuck; inv1=host1 row; "},
		{name: "K17, a moment after the change", make: func(s *scene) {
			s.evidence(inError(), nil)
			s.Cells[0].Services = append(s.Cells[0].Services, ComputeService{Host: "host1.example", SeenAt: noon})
			s.Cells[0].Nodes = append(s.Cells[0].Nodes, ComputeNode{UUID: "new", Host: "host1.example", Hypervisor: "host1.example"})
		}, want: "stuck; inv1=host1.example row; "},
		{name: "K17, before it has made its compute node", make: func(s *scene) {
			s.evidence(inError(), nil)
			down(s, 0)
			s.Cells[0].Services = append(s.Cells[0].Services, ComputeService{Host: "host1.example", SeenAt: noon})
		}, want: "stuck; inv1=host1.example row; "},
		{name: "K17, and the host does not answer", make: func(s *scene) {
			s.evidence(inError(), nil)
			down(s, 0)
			s.Cells[0].Services = append(s.Cells[0].Services, ComputeService{Host: "host1.example", SeenAt: noon})
			unreached(s, 0)
		}, consents: Consents{HostsGone: []string{"host1"}}, want: "unknown; ; host1 gone", refusals: []string{"host1 cannot be gone"}},
		{name: "its nova-compute must know which node it is", make: func(s *scene) {
			s.evidence(inError(), nil)
			s.Cells[0].Services[0].Identified = true
		}, want: "stuck; inv1=host1 row  " + node1 + "; "},
		{name: "another host of the same short name is not it", make: func(s *scene) {
			s.evidence(inError(), nil)
			down(s, 0)
			s.Cells[0].Services = append(s.Cells[0].Services, ComputeService{Host: "host1.dc2", SeenAt: noon})
			s.Cells[0].Nodes = append(s.Cells[0].Nodes, ComputeNode{UUID: "dc2", Host: "host1.dc2", Hypervisor: "host1.dc2"})
		}, want: "stuck; inv1=host1 row; "},
		{name: "a hypervisor that is another than Nova's", make: func(s *scene) {
			s.evidence(inError(), nil)
			s.Hypervisors[0] = Hypervisor{Host: "host1", Name: "renamed.example"}
		}, want: "unknown; ; host1", refusals: []string{"host1 is by its name host1 of the inventory, which says that its hypervisor is " +
			"renamed.example, but Nova has it as host1.example: say which"}},
		{name: "the same, and the operator insists", make: func(s *scene) {
			s.evidence(inError(), nil)
			s.Hypervisors[0] = Hypervisor{Host: "host1", Name: "renamed.example"}
		}, consents: Consents{ComputeHost: "host1"}, want: "unknown; ; host1", refusals: []string{"host1 is no host1 (compute_host)"}},
		{name: "a hypervisor that is another host of Nova's", make: func(s *scene) {
			s.evidence(inError(), nil)
			look := s.looks[mine]
			look.Hosts = []string{"inv2.dc1"} // which was scrapped
			s.looks[mine] = look
		}, want: "unknown; inv1=host1 row; inv2.dc1",
			refusals: []string{"inv2.dc1 is by its name inv2 of the inventory, but that one's hypervisor, host2.example, is the host host2"}},
		{name: "a host of before it was renamed, and the operator says which", make: func(s *scene) {
			s.evidence(inError(on("old2", "")), nil)
		}, consents: Consents{ComputeHost: "inv2"}, want: "stuck; inv2=host2 row; "},
		{name: "two of the inventory by one name", make: func(s *scene) {
			s.evidence(inError(), nil)
			s.Hypervisors = append(s.Hypervisors, Hypervisor{Host: "inv3", Name: "host1.example"})
		}, want: "unknown; ; host1",
			refusals: []string{"host1 fits several hosts of the inventory (inv1, inv3): say which it is with compute_host: NAME"}},
		{name: "the same, and the operator says which", make: func(s *scene) {
			s.evidence(inError(), nil)
			s.Hypervisors = append(s.Hypervisors, Hypervisor{Host: "inv3", Name: "host1.example"})
		}, consents: Consents{ComputeHost: "inv3"}, want: "stuck; inv3=host1 row; "},
		{name: "the same, and one has Nova's name", make: func(s *scene) {
			s.evidence(inError(), nil)
			s.Hypervisors = append(s.Hypervisors, Hypervisor{Host: "host1", Name: "host1.example"})
		}, want: "stuck; host1=host1 row; "},
		{name: "compute_host where it can be told", make: func(s *scene) { s.evidence(inError(), nil) },
			consents: Consents{ComputeHost: "inv2"}, want: "stuck; inv1=host1 row; "},
		{name: "the domain of another that cannot be read", make: func(s *scene) {
			s.evidence(inError(), nil)
			s.Hypervisors[0].Unread = []string{"domain " + theirs + ": no XML"}
		}, want: "stuck; inv1=host1 row; "},
		{name: "its own domain cannot be read", make: func(s *scene) {
			s.evidence(inError(), nil)
			s.Hypervisors[0].Unread = []string{"domain " + mine + ": no XML"}
		}, want: "unknown; ; host1", refusals: []string{"host1 could not be read in full: domain " + mine + ": no XML"}},
		{name: "no hypervisor was asked", make: func(s *scene) { s.evidence(inError(), nil); s.Hypervisors, s.HypervisorsAsked = nil, false },
			want: "unknown; ; host1", refusals: []string{"host1 was not asked"}},
		{name: "on bare metal", make: func(s *scene) {
			s.evidence(inError(on("ironic1", "node7")), nil)
			bareMetal(s)
			s.hold(mine, "node7")
		}, want: "stuck; ; "},
		{name: "on bare metal, and a domain is elsewhere", make: func(s *scene) {
			s.evidence(inError(on("ironic1", "node7")), nil)
			bareMetal(s)
			s.domain(1, true)
		}, want: "stuck; inv2=host2 domain running; "},
		{name: "on a host with bare metal and a hypervisor", make: func(s *scene) {
			s.evidence(inError(on("ironic1", "node7")), nil)
			bareMetal(s)
			s.Cells[0].Nodes = append(s.Cells[0].Nodes, ComputeNode{UUID: "x", Host: "ironic1", Hypervisor: "ironic1.example"})
		}, want: "unknown; ; ironic1", refusals: []string{"ironic1 is none of the hypervisors"}},
		{name: "a live one", make: func(s *scene) { s.evidence(live(), nil); unreached(s, 1) }, want: "live; inv1=host1 row; ",
			refusals: []string{"instance " + mine + " is live", "Nova looks after the instance"}},
		{name: "one in ERROR that somebody locked", make: func(s *scene) { s.evidence(inError(func(r *Row) { r.Locked = true }), nil) },
			want: "stuck; inv1=host1 row; ", refusals: []string{"instance " + mine + " is stuck", "vm_state = error", "allow_locked: true"}},
		{name: "Placement was not read", make: func(s *scene) { s.evidence(inError(), nil); s.PlacementFailure = "503" },
			want: "unknown; inv1=host1 row; ", refusals: []string{"placement could not be read: 503"}},
		{name: "K1: lost, with all that can be left", make: func(s *scene) {
			s.evidence(nil, func(e *Evidence) { e.RequestSpec, e.Mapping = true, &Mapping{HasCell: true, CellKnown: true} })
			s.hold(mine, node1)
			s.domain(0, true)
		}, want: "lost; inv1=host1 allocation+domain running; "},
		{name: "lost, and only a migration's row tells where it was", make: func(s *scene) {
			s.evidence(nil, func(e *Evidence) { e.Cells[0].Migrations = []Migration{{UUID: moved, Status: "completed"}} })
			s.migrates("completed", true)
		}, want: "lost; inv1=host1 record, inv2=host2 record; "},
		{name: "lost, and only a mapping is left", make: func(s *scene) {
			s.evidence(nil, func(e *Evidence) { e.Mapping = &Mapping{HasCell: true, CellKnown: true} })
		}, want: "lost; ; "},
		{name: "the same, and a hypervisor was not read", make: func(s *scene) {
			s.evidence(nil, func(e *Evidence) { e.Mapping = &Mapping{HasCell: true, CellKnown: true} })
			unreached(s, 1)
		}, want: "unknown; ; host2", refusals: []string{"host2 could not be reached"}},
		{name: "archived, and a domain is left", make: func(s *scene) {
			s.evidence(nil, func(e *Evidence) { e.Cells[0].Archived = true })
			s.domain(1, true)
		}, want: "archived; inv2=host2 domain running; "},
		{name: "a folder alone, which may be on storage that the hosts share", make: func(s *scene) {
			s.evidence(nil, nil)
			s.Hypervisors[0].Files = []InstanceFiles{{UUID: mine, Path: "/i/" + mine}}
			s.Hypervisors[1].Failure = "could not be reached"
		}, want: "unknown; inv1=host1 instance_files; host2", refusals: []string{"host2 could not be reached"}},
		{name: "another cloud's domain and allocation", make: func(s *scene) {
			s.evidence(nil, nil)
			s.domain(1, false)
			s.hold(mine, "share")
			s.owners[mine] = Owner{Type: "unknown"}
		}, want: "foreign; inv2=host2 domain running; ",
			refusals: []string{"Nova has no trace of .* but Placement has allocations of it and a domain of it is on inv2: they may belong"}},
		{name: "a domain of Nova's on a hypervisor that the cloud does not know, and nothing else", make: func(s *scene) {
			s.evidence(nil, nil)
			s.Hypervisors = append(s.Hypervisors, Hypervisor{Host: "inv3", Name: "old.example"})
			s.domain(2, true)
		}, want: "foreign; inv3=old.example domain running; ", refusals: []string{"old.example, which is no compute node of this cloud"}},
		{name: "the same, and it has a resource provider", make: func(s *scene) {
			s.evidence(nil, nil)
			s.Hypervisors = append(s.Hypervisors, Hypervisor{Host: "inv3", Name: "old.example"})
			s.domain(2, true)
			s.Assess([]string{mine}, s.looks, s.owners, Commands{}, Consents{}) // that is found when the rest is in the picture
			s.Providers["old"] = Provider{UUID: "old", Name: "old.example", Root: "old"}
		}, want: "lost; inv3=old.example domain running; "},
		{name: "the same, and Placement was not read", make: func(s *scene) {
			s.evidence(nil, nil)
			s.Hypervisors, s.PlacementFailure = append(s.Hypervisors, Hypervisor{Host: "inv3", Name: "old.example"}), "503"
			s.domain(2, true)
		}, want: "unknown; inv3=old.example domain running; ", refusals: []string{"placement could not be read: 503"}},
		{name: "K3: nobody knows it", make: func(s *scene) { s.evidence(nil, nil) }, want: "absent; ; "},
		{name: "nobody knows it, and Neutron has a port of it", make: func(s *scene) {
			s.evidence(nil, nil)
			look := s.looks[mine]
			look.Given = []Remnant{{What: RemainsPort, ID: "port1"}}
			s.looks[mine] = look
		}, want: "foreign; ; ", refusals: []string{"but port port1 is of it"}},
		{name: "nobody knows it, and Cinder could not be asked", make: func(s *scene) {
			s.evidence(nil, nil)
			look := s.looks[mine]
			look.Unread = map[string]error{"cinder": errors.New("403")}
			s.looks[mine] = look
		}, want: "unknown; ; ", refusals: []string{"no trace of " + mine + " was found, but",
			"cinder could not be asked: 403: what it has of the instance is unknown"}},
		{name: "nobody knows it, and a hypervisor and Placement were not read", make: func(s *scene) {
			s.evidence(nil, nil)
			s.PlacementFailure = "503"
			s.Hypervisors[1] = Hypervisor{Host: "inv2", Name: "host2.example", Failure: "libvirt is down"}
		}, want: "unknown; ; host2", refusals: []string{"no trace of " + mine + " was found, but", "placement could not be read: 503",
			"host2 could not be read: libvirt is down"}},
		{name: "the same, and the host is gone", make: func(s *scene) {
			s.evidence(nil, nil)
			unreached(s, 1)
			down(s, 1)
		}, consents: Consents{HostsGone: []string{"host2"}}, want: "absent; ; host2 gone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newNamed()
			test.make(s)
			a := s.assess(test.consents)[0]
			if got := a.told(); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			said := strings.Join(a.Refusals, "\n")
			if (len(a.Refusals) > 0) != (len(test.refusals) > 0) {
				t.Errorf("got refusals %q", a.Refusals)
			}
			for _, part := range test.refusals {
				if !matches(said, part) {
					t.Errorf("%q is in none of %q", part, a.Refusals)
				}
			}
			if asJSON, err := json.Marshal(a); err != nil || strings.Contains(strings.NewReplacer(`"instance":null`, "", `"cell":null`, "").
				Replace(string(asJSON)), "null") {
				t.Errorf("a list is null: %s, %v", asJSON, err)
			}
		})
	}
}

// matches takes ".*" in a part for anything, and "$" for the end of a line.
func matches(text, part string) bool {
	for _, line := range strings.Split(text, "\n") {
		rest, all := line+"$", true
		for _, piece := range strings.Split(part, ".*") {
			_, after, found := strings.Cut(rest, piece)
			rest, all = after, all && found
		}
		if all {
			return true
		}
	}
	return false
}

func TestNothingOfWhatNobodyKnowsIsASuccess(t *testing.T) {
	s := newNamed()
	s.evidence(nil, nil)
	a := s.assess(Consents{})[0]
	if a.Verdict != Absent || a.Reasons[0] != "no trace anywhere: nothing to do" || len(a.Refusals)+len(a.Hosts)+len(a.Remains) > 0 {
		t.Errorf("got %+v", a)
	}
}

func TestAMigrationIsAssessedByItsInstance(t *testing.T) {
	s := newNamed()
	s.migrates("completed", true)
	s.evidence(inError(), nil)
	s.hold(moved, node2)
	a := s.assess(Consents{}, moved)[0]
	if a.Asked != moved || a.UUID != mine || !slices.Equal(a.Consumers, []string{mine, moved}) ||
		!strings.Contains(a.Reasons[0], moved+", a migration (completed) of instance "+mine) {
		t.Errorf("got %+v", a)
	}
	for _, twice := range [][]string{{mine, moved}, {mine, mine}, {moved, theirs, mine}} {
		if err := s.SameInstance(twice); err == nil || !strings.Contains(err.Error(), "the same instance twice") {
			t.Errorf("%v: got %v", twice, err)
		}
	}
	if err := s.SameInstance([]string{moved, theirs}); err != nil {
		t.Error(err)
	}
}

func TestConsumersAreThoseThatNobodyNeedsAnyMore(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(*scene)
		want int
	}{
		{"a migration that is over and holds nothing", func(s *scene) { s.evidence(inError(), nil); s.migrates("error", true) }, 1},
		{"one that holds something", func(s *scene) { s.evidence(inError(), nil); s.migrates("error", true); s.hold(moved, node2) }, 2},
		{"one of which that is not known", func(s *scene) {
			s.evidence(inError(), nil)
			s.migrates("error", true)
			s.PlacementFailure = "503"
		}, 2},
		{"one under way", func(s *scene) { s.evidence(live(), nil); s.migrates("running", true); s.hold(moved, node2) }, 1},
		{"K11: one that is stuck, with consent", func(s *scene) {
			s.migrates("running", true)
			s.evidence(inError(), func(e *Evidence) {
				e.AllowStuckMigration, e.Cells[0].Migrations = true, []Migration{s.Migrations[moved].Migration}
			})
			s.hold(moved, node2)
		}, 2},
		{"one that never ended, of a lost instance", func(s *scene) {
			s.migrates("running", true)
			s.evidence(nil, func(e *Evidence) { e.Cells[0].Migrations = []Migration{s.Migrations[moved].Migration} })
			s.hold(moved, node2)
		}, 2},
		{"the same, written half a minute ago, and min_age is less", func(s *scene) {
			s.migrates("running", true)
			m := s.Migrations[moved]
			m.UpdatedAt = noon.Add(-30 * time.Second)
			s.Migrations[moved] = m
			s.evidence(nil, func(e *Evidence) { e.MinAge, e.Cells[0].Migrations = 0, []Migration{m.Migration} })
			s.hold(moved, node2)
		}, 1},
		{"one under way, of a zombie", func(s *scene) {
			s.evidence(live(func(r *Row) { r.Deleted = 1 }), nil)
			s.migrates("running", true)
			s.hold(moved, node2)
		}, 2},
	} {
		s := newNamed()
		if test.make(s); len(s.assess(Consents{})[0].Consumers) != test.want {
			t.Errorf("%s: got %v", test.name, s.assess(Consents{})[0].Consumers)
		}
	}
}

func TestAssessmentsAreInTheOrderOfAskingAndHaveTheRow(t *testing.T) {
	s := newNamed()
	s.evidence(inError(), nil)
	s.hold(mine, node1)
	nobody := Evidence{UUID: theirs, Cells: []Cell{{Name: "cell1", Now: noon}}, Now: noon}
	s.looks[theirs] = Look{Judgement: Judge(nobody), Evidence: nobody}
	s.Held, s.Hypervisors[0].Domains = map[string][]Held{}, nil
	all := s.assess(Consents{}, theirs, mine)
	if len(all) != 2 || all[0].UUID != theirs || all[0].Verdict != Absent || all[0].Instance != nil || all[1].UUID != mine || !all[1].Mapped ||
		*all[1].Cell != (CellName{"cell-uuid", "cell1"}) ||
		*all[1].Instance != (Judged{UpdatedAt: "2026-11-27T11:00:00Z", VMState: "error", Host: "host1"}) {
		t.Errorf("got %+v", all)
	}
}

func TestAnInstanceIsGoneWhenNothingIsLeftThatAPurgeRemoves(t *testing.T) {
	keeps := []Remnant{{What: RemainsRow}, {What: RemainsMapping}, {What: RemainsFiles}, {What: RemainsVolume}, {What: RemainsPort}}
	removes := []Remnant{{What: RemainsDomain, ID: "instance-1"}, {What: RemainsAllocation, ID: mine}}
	for _, c := range []struct {
		verdict Verdict
		remains []Remnant
		want    string
	}{
		{Deleted, keeps, ""}, {Archived, nil, ""}, {Lost, keeps, ""}, {Absent, nil, ""},
		{Deleted, slices.Concat(keeps, removes), "domain instance-1 is still there; allocation " + mine + " is still there"},
		{Lost, removes[:1], "domain instance-1 is still there"},
		{Zombie, nil, "it is zombie (deleted = 1; no)"}, {Stuck, nil, "it is stuck (deleted = 1; no)"},
		{Live, nil, "it is live (deleted = 1; no)"}, {Busy, nil, "it is busy (deleted = 1; no)"},
		{Foreign, nil, "it is foreign (deleted = 1; no)"}, {Unknown, nil, "it is unknown (deleted = 1; no)"},
	} {
		a := Assessment{Verdict: c.verdict, Remains: c.remains, Reasons: []string{"deleted = 1"}, Refusals: []string{"no"}}
		if got := strings.Join(a.left(), "; "); got != c.want {
			t.Errorf("%s with %v: got %q, want %q", c.verdict, c.remains, got, c.want)
		}
	}
}

func TestOneComputeHostIsNotTakenForTheHostsOfSeveralInstances(t *testing.T) {
	for other, want := range map[string]int{"host8": 2, "host9": 0} {
		s := newNamed()
		s.evidence(inError(on("host9", "")), nil)
		second := s.looks[mine].Evidence
		row := *inError(on(other, ""))
		second.UUID, second.Cells = theirs, []Cell{{Name: "cell1", Now: noon, Row: &row}}
		s.looks[theirs] = Look{Judgement: Judge(second), Evidence: second}
		s.Held = map[string][]Held{}
		refused := 0
		for _, a := range s.assess(Consents{ComputeHost: "inv2"}, mine, theirs) {
			for _, refusal := range a.Refusals {
				if strings.Contains(refusal, "compute_host: NAME, for host8 and for host9 apart") {
					refused++
				}
			}
		}
		if refused != want {
			t.Errorf("%s: %d are refused", other, refused)
		}
	}
}

func TestWhatNobodyHasLookedAtIsUnknown(t *testing.T) {
	if a := newNamed().assess(Consents{})[0]; a.Verdict != Unknown || len(a.Refusals) == 0 {
		t.Errorf("got %+v", a)
	}
}

func TestOfBareMetalItIsToldThatNobodyHasLooked(t *testing.T) {
	s := newNamed()
	s.evidence(inError(on("ironic1", "node7")), nil)
	s.Cells[0].Nodes = append(s.Cells[0].Nodes, ComputeNode{UUID: "node7", Host: "ironic1", Hypervisor: "node7", Ironic: true})
	a := s.assess(Consents{})[0]
	if len(a.Keeps) != 1 || !strings.Contains(a.Keeps[0], "ironic1") || !strings.HasSuffix(a.Keeps[0], "openstack baremetal node show node7") {
		t.Errorf("got %q", a.Keeps)
	}
}

func TestAProviderThatIsInTheWayOfANewComputeNodeIsTold(t *testing.T) {
	for unread, want := range map[bool]int{false: 1, true: 0} {
		s := newNamed()
		s.evidence(live(func(r *Row) { r.Deleted = 1 }, on("host2", "host2.example")), nil)
		s.Providers["old"] = Provider{UUID: "old", Name: "host2.example", Root: "old", Compute: true}
		if s.hold(mine, "old"); unread {
			s.Cells = append(s.Cells, CellPicture{Name: "cell2", Failure: "refused"})
		}
		a := s.assess(Consents{})[0]
		if len(a.Keeps) != want || want > 0 && !strings.HasSuffix(a.Keeps[0], "openstack resource provider delete old") {
			t.Errorf("got %q", a.Keeps)
		}
	}
}
