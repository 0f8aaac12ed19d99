package orphan

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	mine   = "11111111-1111-4111-8111-111111111111" // the instance that is looked at
	theirs = "22222222-2222-4222-8222-222222222222" // a live neighbour
	moved  = "33333333-3333-4333-8333-333333333333" // a migration of mine
	node1  = "aaaaaaaa-0000-4000-8000-000000000001"
	node2  = "aaaaaaaa-0000-4000-8000-000000000002"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// scene is a cloud of one cell and two hosts, in which the neighbour lives on host1, and so does mine.
type scene struct {
	Picture
	looks  map[string]Look
	owners map[string]Owner
	placed map[string][]string
}

func newScene() *scene {
	s := &scene{looks: map[string]Look{}, owners: map[string]Owner{mine: {"INSTANCE", "p"}, moved: {"MIGRATION", "p"}},
		placed: map[string][]string{}}
	s.Now = noon
	s.Cells = []CellPicture{{ID: "2", UUID: "cell-uuid", Name: "cell1", Now: noon,
		Nodes: []ComputeNode{{UUID: node1, Host: "host1", Hypervisor: "host1.example"},
			{UUID: node2, Host: "host2", Hypervisor: "host2.example"}},
		Services: []ComputeService{{Host: "host1"}, {Host: "host2"}}}}
	s.Providers = map[string]Provider{}
	for uuid, name := range map[string]string{node1: "host1.example", node2: "host2.example"} {
		s.Providers[uuid] = Provider{UUID: uuid, Name: name, Root: uuid, Compute: true}
	}
	s.Providers["numa"] = Provider{UUID: "numa", Name: "host1_NUMA0", Root: node1}
	s.Providers["share"] = Provider{UUID: "share", Name: "nfs", Root: "share", Sharing: true}
	s.Mappings, s.BuildRequests = map[string]MappedTo{theirs: {Cell: "2"}}, map[string]time.Time{}
	s.Held, s.Migrations, s.UnreadProviders = map[string][]Held{}, map[string]MigrationPicture{}, map[string]string{}
	s.HypervisorsAsked = true
	s.Hypervisors = []Hypervisor{{Host: "inv1", Name: "host1.example", Domains: []Domain{{UUID: theirs, Nova: true, State: "running"}}},
		{Host: "inv2", Name: "host2.example"}}
	s.Cells[0].Instances = []Instance{{UUID: theirs, Host: "host1", Node: "host1.example", VMState: "active", ID: 1,
		Changed: noon.Add(-time.Hour)}}
	s.hold(theirs, node1)
	s.Placed = func(yield func(string, []string) bool) { iter.Seq2[string, []string](maps.All(s.placed))(yield) }
	return s
}

func (s *scene) hold(consumer, provider string) {
	s.placed[consumer] = append(s.placed[consumer], provider)
	s.Held[consumer] = append(s.Held[consumer], Held{provider, map[string]int{"VCPU": 1}})
}

func (s *scene) domain(hypervisor int, nova bool) {
	s.Hypervisors[hypervisor].Domains = append(s.Hypervisors[hypervisor].Domains,
		Domain{UUID: mine, Name: "instance-00000007", Nova: nova, State: "running", InstanceName: "web"})
}

// evidence makes the closer look; row is nil where no cell has the instance.
func (s *scene) evidence(row *Row, change func(*Evidence)) {
	e := Evidence{UUID: mine, Cells: []Cell{{Name: "cell1", Now: noon, Row: row}}, Now: noon, Policy: Policy{MinAge: 5 * time.Minute}}
	if row != nil {
		e.Mapping = &Mapping{HasCell: true, CellKnown: true, QueuedForDelete: row.Deleted != 0}
	}
	if change != nil {
		change(&e)
	}
	if e.Mapping != nil {
		cell := ""
		if e.Mapping.HasCell {
			cell = "2"
		}
		s.Mappings[mine] = MappedTo{cell, e.Mapping.QueuedForDelete}
	}
	if row != nil && row.Deleted != row.ID {
		s.Cells[0].Instances = append(s.Cells[0].Instances, Instance{UUID: mine, Host: row.Host, Node: row.Node, VMState: row.VMState,
			TaskState: row.TaskState, ID: row.ID, Deleted: row.Deleted, Hidden: row.Hidden, Changed: latest(row.CreatedAt, row.UpdatedAt)})
	}
	if e.BuildRequest {
		s.BuildRequests[mine] = e.RequestedAt
	}
	s.looks[mine] = Look{Judgement: Judge(e), Evidence: e}
}

// live is a row of an instance on host1 that nobody has touched for an hour.
func live(change ...func(*Row)) *Row {
	row := &Row{ID: 7, Host: "host1", Node: "host1.example", VMState: "active", CreatedAt: noon.Add(-24 * time.Hour),
		UpdatedAt: noon.Add(-time.Hour)}
	for _, c := range change {
		c(row)
	}
	return row
}

func properly(row *Row) {
	row.Deleted, row.DeletedAt, row.VMState = row.ID, noon.Add(-time.Hour), "deleted"
}

// migrates adds a migration of mine by which it moves, or has moved, between the hosts.
func (s *scene) migrates(status string, over bool) {
	m := MigrationPicture{Migration: Migration{UUID: moved, ID: 3, Status: status, Source: "host1", Destination: "host2",
		UpdatedAt: noon.Add(-time.Hour)}, Instance: mine}
	if over {
		s.Migrations[moved] = m
	} else {
		s.Cells[0].Migrations = append(s.Cells[0].Migrations, m)
	}
}

func TestEachKindIsFoundAndNothingElse(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(*scene)
		want string // kind, verdict, hosts; "" is no finding
	}{
		{"a live instance", func(s *scene) { s.evidence(live(), nil); s.hold(mine, node1); s.domain(0, true) }, ""},
		{"one that holds something of a child and of a sharing provider",
			func(s *scene) { s.evidence(live(), nil); s.hold(mine, "numa"); s.hold(mine, "share") }, ""},
		{"one on a provider that Placement did not list", func(s *scene) { s.evidence(live(), nil); s.hold(mine, "unlisted") }, ""},
		{"one in ERROR", func(s *scene) { s.evidence(live(func(r *Row) { r.VMState = "error" }), nil); s.hold(mine, node1) },
			"error stuck host1"},
		{"one in ERROR since a moment", func(s *scene) {
			s.evidence(live(func(r *Row) { r.VMState, r.UpdatedAt = "error", noon }), nil)
		}, ""},
		{"one in ERROR whose migration goes on", func(s *scene) {
			s.migrates("running", false)
			s.evidence(live(func(r *Row) { r.VMState = "error" }), func(e *Evidence) {
				e.Cells[0].Migrations = []Migration{{UUID: moved, Status: "running", ID: 3, UpdatedAt: noon.Add(-time.Hour)}}
			})
		}, ""},
		{"a deletion that came to no end", func(s *scene) { s.evidence(live(func(r *Row) { r.TaskState = "deleting" }), nil) },
			"deleting stuck host1"},
		{"a deletion of a moment ago", func(s *scene) {
			s.evidence(live(func(r *Row) { r.TaskState, r.UpdatedAt = "deleting", noon }), nil)
		}, ""},
		{"a zombie, with all that is left of it",
			func(s *scene) {
				s.evidence(live(func(r *Row) { r.Deleted = 1 }), nil)
				s.hold(mine, node1)
				s.domain(1, true)
			},
			"zombie zombie host1,host2"},
		{"a hidden row", func(s *scene) { s.evidence(live(func(r *Row) { r.Hidden = true }), nil) }, ""},
		{"a build", func(s *scene) {
			s.evidence(live(func(r *Row) { r.VMState, r.Host, r.Node = "building", "", "" }), func(e *Evidence) { e.BuildRequest = true })
			s.hold(mine, node2)
		}, ""},
		{"an instance in a task, on two hosts", func(s *scene) {
			s.evidence(live(func(r *Row) { r.TaskState = "migrating" }), nil)
			s.hold(mine, node2)
			s.domain(1, true)
		}, ""},
		{"no mapping", func(s *scene) { s.evidence(live(), func(e *Evidence) { e.Mapping = nil }) }, "row_without_mapping live host1"},
		{"a mapping without a cell", func(s *scene) { s.evidence(live(), func(e *Evidence) { e.Mapping.HasCell = false }) },
			"row_without_mapping live host1"},
		{"in ERROR, and no mapping",
			func(s *scene) {
				s.evidence(live(func(r *Row) { r.VMState = "error" }), func(e *Evidence) { e.Mapping = nil })
			},
			"row_without_mapping stuck host1"},
		{"its host is gone", func(s *scene) { s.evidence(live(func(r *Row) { r.Host, r.Node = "host9", "host9.example" }), nil) },
			"host_gone live host9"},
		{"its host has a service and no compute node", func(s *scene) {
			s.Cells[0].Services = append(s.Cells[0].Services, ComputeService{Host: "host9"})
			s.evidence(live(func(r *Row) { r.Host, r.Node = "host9", "host9.example" }), nil)
		}, ""},
		{"in ERROR on a host that is gone", func(s *scene) { s.evidence(live(func(r *Row) { r.VMState, r.Host = "error", "host9" }), nil) },
			"host_gone stuck host9"},
		{"one whose resource provider is left", func(s *scene) {
			s.Providers["old"] = Provider{UUID: "old", Name: "host9.example", Root: "old"}
			s.evidence(live(func(r *Row) { r.VMState, r.Host, r.Node = "error", "host9", "host9.example" }), nil)
			s.hold(mine, "old")
		}, "host_gone stuck host9"},
		{"an allocation on another host", func(s *scene) { s.evidence(live(), nil); s.hold(mine, node1); s.hold(mine, node2) },
			"allocation_elsewhere live host1,host2"},
		{"an allocation on a host that has no compute node any more", func(s *scene) {
			s.evidence(live(), nil)
			s.Providers["old"] = Provider{UUID: "old", Name: "old.example", Root: "old", Compute: true}
			s.hold(mine, "old")
		}, "allocation_elsewhere live host1,old.example; provider_without_node lost old.example"},
		{"an allocation on a provider of another service", func(s *scene) {
			s.evidence(live(), nil)
			s.Providers["gpu"] = Provider{UUID: "gpu", Name: "pool", Root: "gpu"}
			s.hold(mine, "gpu")
		}, ""},
		{"an allocation on its old name's provider, which its row still has", func(s *scene) {
			s.evidence(live(func(r *Row) { r.Node = "short" }), nil)
			s.Providers["old"] = Provider{UUID: "old", Name: "short", Root: "old", Compute: true}
			s.hold(mine, "old")
		}, "provider_without_node lost short"},
		{"a bare-metal node that another nova-compute looks after by now", func(s *scene) {
			s.evidence(live(func(r *Row) { r.Host, r.Node = "host1", "host2.example" }), nil)
			s.hold(mine, node2)
		}, ""},
		{"a live migration", func(s *scene) {
			s.migrates("running", false)
			s.evidence(live(), nil)
			s.hold(mine, node2)
			s.hold(moved, node1)
			s.domain(1, true)
		}, ""},
		{"a resize that waits for its confirmation", func(s *scene) {
			s.migrates("finished", false)
			s.evidence(live(func(r *Row) { r.VMState = "resized" }), nil)
			s.hold(mine, node1)
			s.hold(moved, node2)
		}, ""},
		{"an evacuation that its source will clean up after", func(s *scene) {
			s.migrates("done", false)
			s.Cells[0].Migrations[0].EvacuatedFrom = "host2"
			s.evidence(live(), nil)
			s.hold(mine, node1)
			s.hold(mine, node2)
			s.domain(1, true)
		}, ""},
		{"a migration that is over and holds something", func(s *scene) {
			s.migrates("confirmed", true)
			s.evidence(live(), nil)
			s.hold(moved, node2)
		}, "migration_allocation live host1,host2"},
		{"a migration that is over since a moment", func(s *scene) {
			s.migrates("confirmed", true)
			m := s.Migrations[moved]
			m.UpdatedAt = noon
			s.Migrations[moved] = m
			s.evidence(live(), nil)
			s.hold(moved, node2)
		}, ""},
		{"a domain on a second host", func(s *scene) { s.evidence(live(), nil); s.domain(0, true); s.domain(1, true) },
			"domain_elsewhere live host1,host2"},
		{"deleted as Nova does it", func(s *scene) { s.evidence(live(properly), nil) }, ""},
		{"deleted a moment ago, and not yet cleaned up", func(s *scene) {
			s.evidence(live(properly, func(r *Row) { r.DeletedAt = noon }), nil)
			s.hold(mine, node1)
			s.domain(0, true)
		}, ""},
		{"deleted, and a domain is left", func(s *scene) { s.evidence(live(properly), nil); s.hold(mine, node1); s.domain(0, true) },
			"domain_without_row deleted host1"},
		{"deleted, and an allocation is left", func(s *scene) { s.evidence(live(properly), nil); s.hold(mine, node1) },
			"allocation_without_row deleted host1"},
		{"deleted by half", func(s *scene) {
			s.evidence(live(properly), func(e *Evidence) { e.Cells[0].Leftovers = map[string]int{"block_device_mapping": 1} })
			s.Cells[0].HalfDeleted = []string{mine}
		}, "half_deleted deleted host1"},
		{"archived, and a domain is left", func(s *scene) {
			s.evidence(nil, func(e *Evidence) { e.Cells[0].Archived = true })
			s.domain(1, true)
		}, "domain_without_row archived host2"},
		{"archived, and its mapping was left", func(s *scene) {
			s.evidence(nil, func(e *Evidence) {
				e.Cells[0].Archived, e.Mapping = true, &Mapping{HasCell: true, CellKnown: true, QueuedForDelete: true}
			})
			s.Cells[0].Gone = []string{mine}
		}, "mapping_without_row archived "},
		{"a mapping alone", func(s *scene) {
			s.evidence(nil, func(e *Evidence) { e.Mapping = &Mapping{HasCell: true, CellKnown: true} })
			s.Cells[0].Gone = []string{mine}
		}, "mapping_without_row lost "},
		{"a build request alone, for a day", func(s *scene) {
			s.evidence(nil, func(e *Evidence) { e.BuildRequest, e.RequestedAt = true, noon.Add(-24*time.Hour) })
		}, "build_request_without_row lost "},
		{"a build request alone, since a moment", func(s *scene) {
			s.evidence(nil, func(e *Evidence) { e.BuildRequest, e.RequestedAt = true, noon })
		}, ""},
		{"an allocation that nothing else tells of", func(s *scene) { s.evidence(nil, nil); s.hold(mine, node1) },
			"allocation_without_row lost host1"},
		{"one of before there were types", func(s *scene) {
			s.evidence(nil, nil)
			s.hold(mine, node1)
			s.owners[mine] = Owner{Type: "unknown"}
		}, "allocation_without_row lost host1"},
		{"one of before there were types, on no compute host", func(s *scene) {
			s.evidence(nil, nil)
			s.hold(mine, "share")
			s.owners[mine] = Owner{Type: "unknown"}
		}, ""},
		{"another service's consumer", func(s *scene) { s.evidence(nil, nil); s.hold(mine, node1); s.owners[mine] = Owner{Type: "CONTAINER"} },
			""},
		{"a domain of Nova's that nothing else tells of", func(s *scene) { s.evidence(nil, nil); s.domain(1, true) },
			"domain_without_row lost host2"},
		{"a domain that is not Nova's", func(s *scene) { s.evidence(nil, nil); s.domain(1, false) }, ""},
		{"a mapping of what was deleted before it got to a cell, as Nova leaves it", func(s *scene) {
			s.evidence(nil, func(e *Evidence) { e.Mapping = &Mapping{QueuedForDelete: true} })
		}, ""},
		{"the guest itself on another host than its row's", func(s *scene) {
			s.evidence(live(), nil)
			s.domain(1, true)
			s.hold(mine, node2)
		}, "domain_elsewhere live host1,host2"},
		{"a folder that nothing else tells of", func(s *scene) {
			s.evidence(nil, nil)
			s.Hypervisors[1].Files = []InstanceFiles{{UUID: mine, Path: "/var/lib/nova/instances/" + mine}}
		}, "files_without_row lost host2"},
		{"the folder of a live instance of another host, as on shared storage", func(s *scene) {
			s.evidence(live(), nil)
			s.Hypervisors[1].Files = []InstanceFiles{{UUID: mine, Path: "/var/lib/nova/instances/" + mine}}
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene()
			test.make(s)
			findings, doubts := s.Findings(s.looks, s.owners, Commands{})
			if got := brief(findings); got != test.want || len(doubts) > 0 {
				t.Errorf("got %q and doubts %v, want %q", got, doubts, test.want)
			}
			if asJSON, err := json.Marshal(findings); err != nil ||
				strings.Contains(strings.ReplaceAll(string(asJSON), `"since":null`, ""), "null") {
				t.Errorf("a list is null: %s, %v", asJSON, err)
			}
			suspected := slices.Contains(s.Suspects(s.looks[mine].Policy, s.Consumers()), mine)
			if slices.ContainsFunc(findings, func(f Finding) bool { return f.UUID == mine }) && !suspected {
				t.Error("it is a finding and no suspect")
			}
		})
	}
}

func TestWithConsentWhatAStuckMigrationHoldsIsLeftOver(t *testing.T) {
	for consent, want := range map[bool]string{false: " busy host1", true: "error stuck host1,host2"} {
		s := newScene()
		s.Named = true
		s.migrates("running", true)
		s.hold(mine, node1)
		s.hold(moved, node2)
		s.evidence(live(func(r *Row) { r.VMState = "error" }), func(e *Evidence) {
			e.AllowStuckMigration, e.Cells[0].Migrations = consent, []Migration{s.Migrations[moved].Migration}
		})
		findings, doubts := s.Findings(s.looks, s.owners, Commands{})
		if got := brief(findings); got != want || len(doubts) > 0 {
			t.Fatalf("got %q and %v, want %q", got, doubts, want)
		}
		held := slices.ContainsFunc(findings[0].Remains, func(r Remnant) bool { return r.What == RemainsMigrationAllocation && r.ID == moved })
		if held != consent {
			t.Errorf("with consent %t it remains: %t", consent, held)
		}
	}
}

func TestWithConsentASoftDeletedInstanceIsADeletionThatCameToNoEnd(t *testing.T) {
	for consent, want := range map[bool]string{false: " live host1", true: "deleting stuck host1"} {
		s := newScene()
		s.Named = true
		s.evidence(live(func(r *Row) { r.VMState = "soft-delete" }), func(e *Evidence) { e.AllowSoftDeleted = consent })
		findings, _ := s.Findings(s.looks, s.owners, Commands{})
		if got := brief(findings); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func brief(findings []Finding) string {
	var all []string
	for _, f := range findings {
		all = append(all, fmt.Sprint(f.Kind, " ", f.Verdict, " ", strings.Join(f.Hosts, ",")))
	}
	return strings.Join(all, "; ")
}

func TestWhatMayLieAtAnUnreadSourceIsInDoubt(t *testing.T) {
	zombie := func(s *scene) { s.evidence(live(func(r *Row) { r.Deleted = 1 }), nil); s.hold(mine, node1) }
	lost := func(s *scene) {
		s.evidence(nil, func(e *Evidence) { e.Mapping = &Mapping{HasCell: true, CellKnown: true} })
		s.Cells[0].Gone = []string{mine}
	}
	for _, test := range []struct {
		name   string
		what   func(*scene)
		fails  func(*scene)
		reason string // "" is a finding all the same
	}{
		{"its own hypervisor", zombie, func(s *scene) { s.Hypervisors[0].Failure = "no route" },
			"the hypervisor of host1 could not be read: no route"},
		{"a hypervisor that did not tell its name", zombie, func(s *scene) { s.Hypervisors[0].Name, s.Hypervisors[0].Failure = "", "no route" },
			"none of the hypervisors that were asked is host1.example"},
		{"another hypervisor", zombie, func(s *scene) { s.Hypervisors[1].Failure = "no route" }, ""},
		{"some hypervisor, and no host is known", lost, func(s *scene) { s.Hypervisors[1].Failure = "no route" }, "the hypervisor of host2"},
		{"a hypervisor that the inventory does not have", zombie, func(s *scene) { s.Hypervisors = s.Hypervisors[1:] },
			"none of the hypervisors that were asked is host1.example"},
		{"no hypervisor was asked", zombie, func(s *scene) { s.HypervisorsAsked, s.Hypervisors = false, nil }, ""},
		{"placement", zombie, func(s *scene) { s.PlacementFailure = "answered 503" }, "placement could not be read: answered 503"},
		{"the provider of its host", zombie, func(s *scene) { s.UnreadProviders["numa"] = "answered 500" }, "resource provider host1_NUMA0"},
		{"the provider of another host", zombie, func(s *scene) { s.UnreadProviders[node2] = "answered 500" }, ""},
		{"a cell", zombie, func(s *scene) {
			look := s.looks[mine]
			look.Cells = append(look.Cells, Cell{Name: "cell2", Failure: "refused"})
			look.Judgement = Judge(look.Evidence)
			s.looks[mine] = look
		}, "cell2: the cell could not be read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene()
			test.what(s)
			test.fails(s)
			findings, doubts := s.Findings(s.looks, s.owners, Commands{})
			switch {
			case test.reason == "":
				if len(findings) != 1 || len(doubts) > 0 {
					t.Errorf("got %v and doubts %v", findings, doubts)
				}
			case len(findings) > 0 || len(doubts) != 1 || !strings.Contains(strings.Join(doubts[0].Reasons, "; "), test.reason):
				t.Errorf("got %v and doubts %v, want one for %q", findings, doubts, test.reason)
			}
		})
	}
}

func TestAFolderMayBeOnStorageThatIsSharedWithAnUnreadHost(t *testing.T) {
	s := newScene()
	s.evidence(nil, nil)
	s.Hypervisors[1].Files = []InstanceFiles{{UUID: mine, Path: "/instances/" + mine}}
	s.Hypervisors[0].Failure = "no route"
	if findings, doubts := s.Findings(s.looks, s.owners, Commands{}); len(findings) > 0 || len(doubts) != 1 {
		t.Errorf("got %+v and doubts %v", findings, doubts)
	}
}

func TestADomainOnAHostThatIsNotTheCloudsMayBeAnotherClouds(t *testing.T) {
	stray := Hypervisor{Host: "inv3", Name: "host3.example", Domains: []Domain{{UUID: mine, Nova: true, State: "running"}}}
	s := newScene()
	s.evidence(nil, nil)
	s.Hypervisors = append(s.Hypervisors, stray)
	if findings, doubts := s.Findings(s.looks, s.owners, Commands{}); len(findings) > 0 || len(doubts) != 1 ||
		!strings.Contains(doubts[0].Reasons[0], "host3.example is no compute node") {
		t.Errorf("got %+v and doubts %v", findings, doubts)
	}
	s = newScene()
	s.evidence(nil, func(e *Evidence) { e.RequestSpec = true })
	s.Hypervisors = append(s.Hypervisors, stray)
	if findings, doubts := s.Findings(s.looks, s.owners, Commands{}); brief(findings) != "domain_without_row lost host3.example" ||
		len(doubts) > 0 {
		t.Errorf("one that this cloud knew: got %+v and doubts %v", findings, doubts)
	}
}

func TestAHostOnWhichItMayHaveBeenIsUnread(t *testing.T) {
	s := newScene()
	s.evidence(live(func(r *Row) { r.VMState = "error" }), nil)
	look := s.looks[mine]
	look.Hosts = []string{"host1", "host2"}
	s.looks[mine] = look
	s.Hypervisors[1].Failure = "no route"
	if findings, doubts := s.Findings(s.looks, s.owners, Commands{}); len(findings) > 0 || len(doubts) != 1 ||
		!strings.Contains(doubts[0].Reasons[0], "hypervisor of host2") {
		t.Errorf("got %+v and doubts %v", findings, doubts)
	}
}

func TestAnotherServicesConsumerIsNotInDoubtWhileACellIsUnread(t *testing.T) {
	for consumer, want := range map[string]int{"CONTAINER": 0, "INSTANCE": 1, "unknown": 1} {
		s := newScene()
		s.evidence(nil, func(e *Evidence) { e.Cells = append(e.Cells, Cell{Name: "cell2", Failure: "refused"}) })
		s.hold(mine, node1)
		s.owners[mine] = Owner{Type: consumer}
		if findings, doubts := s.Findings(s.looks, s.owners, Commands{}); len(findings) > 0 || len(doubts) != want {
			t.Errorf("%s: got %v and doubts %v, want %d", consumer, findings, doubts, want)
		}
	}
}

func TestAProviderOfAComputeHostWithoutANodeIsToldAndOneInDoubtIsNot(t *testing.T) {
	for _, unread := range []bool{false, true} {
		s := newScene()
		s.Providers["old"] = Provider{UUID: "old", Name: "old.example", Root: "old", Compute: true}
		s.Providers["pool"] = Provider{UUID: "pool", Name: "pool", Root: "pool"}
		s.hold(theirs, "old")
		if unread {
			s.Cells = append(s.Cells, CellPicture{Name: "cell2", Failure: "refused"})
		}
		findings, doubts := s.Findings(nil, nil, Commands{})
		if told := brief(findings) == "provider_without_node lost old.example"; told == unread || len(doubts) > 0 != unread {
			t.Errorf("with a cell unread (%v): got %v, %v", unread, findings, doubts)
		}
		for _, f := range findings {
			if !strings.HasSuffix(f.Reasons[0], "; allocations on its tree: 1, which have to go first") {
				t.Errorf("got %s", f.Reasons[0])
			}
		}
	}
}

func TestOfANamedInstanceSomethingIsAlwaysSaid(t *testing.T) {
	for verdict, row := range map[Verdict]*Row{Live: live(), Busy: live(func(r *Row) { r.VMState = "building" }), Absent: nil} {
		s := newScene()
		s.Named = true
		s.evidence(row, nil)
		findings, _ := s.Findings(s.looks, s.owners, Commands{})
		if len(findings) != 1 || findings[0].Verdict != verdict || findings[0].Kind != "" || findings[0].Command != "" {
			t.Errorf("%s: got %+v", verdict, findings)
		}
	}
}

func TestWhatAnInstanceLivesOnIsNotTakenWithItsMigration(t *testing.T) {
	for own, want := range map[bool]string{false: "heal_allocations", true: "placement_allocation"} {
		s := newScene()
		s.migrates("error", true)
		s.evidence(live(), nil)
		if s.hold(moved, node1); own {
			s.hold(mine, node1)
		}
		findings, _ := s.Findings(s.looks, s.owners, Commands{})
		if brief(findings) != "migration_allocation live host1" || !strings.Contains(findings[0].Command, want) {
			t.Errorf("got %+v", findings)
		}
	}
}

func TestTheCommandForALiveInstanceTakesNothingThatItLivesOn(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(*scene)
		want string // the command begins so; "" is that a person must decide
	}{
		{"its guest runs on the other host only", func(s *scene) { s.evidence(live(), nil); s.domain(1, true); s.hold(mine, node2) }, ""},
		{"its guest runs on the other host, and is off on its own", func(s *scene) {
			s.evidence(live(), nil)
			s.domain(0, true)
			s.Hypervisors[0].Domains[1].State = "shutoff"
			s.domain(1, true)
		}, ""},
		{"a domain is left where it was", func(s *scene) { s.evidence(live(), nil); s.domain(0, true); s.domain(1, true) },
			"ansible inv2 -b -m libvirt_undefine"},
		{"a domain is left of what is shelved", func(s *scene) {
			s.evidence(live(func(r *Row) { r.VMState, r.Host, r.Node = "shelved_offloaded", "", "" }), nil)
			s.domain(1, true)
		}, "ansible inv2 -b -m libvirt_undefine"},
		{"it holds a part of a child on its own host, too", func(s *scene) {
			s.evidence(live(), nil)
			s.hold(mine, "numa")
			s.hold(mine, node2)
		}, "openstack --os-placement-api-version 1.28 resource provider allocation unset --provider " + node2 + " " + mine},
		{"it holds nothing on its own host", func(s *scene) { s.evidence(live(), nil); s.hold(mine, node2) },
			"nova-manage placement heal_allocations --force"},
		{"it is shelved, and has no host to heal it on", func(s *scene) {
			s.evidence(live(func(r *Row) { r.VMState, r.Host, r.Node = "shelved_offloaded", "", "" }), nil)
			s.hold(mine, node2)
		}, "openstack --os-placement-api-version 1.28 resource provider allocation unset --provider " + node2 + " " + mine},
		{"it has no mapping, and a run of map_instances was not finished",
			func(s *scene) { s.evidence(live(), func(e *Evidence) { e.Mapping = nil }) },
			"nova-manage cell_v2 map_instances --reset --cell_uuid cell-uuid"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene()
			test.make(s)
			findings, _ := s.Findings(s.looks, s.owners, Commands{})
			switch {
			case len(findings) != 1:
				t.Errorf("got %+v", findings)
			case test.want == "":
				if findings[0].Method != "" || !strings.HasPrefix(findings[0].Command, "openstack server show ") {
					t.Errorf("got %s: %s", findings[0].Method, findings[0].Command)
				}
			case !strings.HasPrefix(findings[0].Command, test.want):
				t.Errorf("got %s", findings[0].Command)
			}
		})
	}
}

func TestOfAGuestThatRunsThoughInErrorItIsSaidHowToKeepIt(t *testing.T) {
	for state, want := range map[string]bool{"running": true, "shutoff": false} {
		s := newScene()
		s.evidence(live(func(r *Row) { r.VMState = "error" }), nil)
		s.domain(0, true)
		s.Hypervisors[0].Domains[1].State = state
		findings, _ := s.Findings(s.looks, s.owners, Commands{})
		if got := strings.Contains(strings.Join(findings[0].Reasons, "; "), "openstack server set --state active "+mine); got != want {
			t.Errorf("%s: got %q", state, findings[0].Reasons)
		}
	}
}

func TestTheCommandsHaveWhatTheyNeed(t *testing.T) {
	for _, test := range []struct {
		make func(*scene)
		want string
	}{
		{func(s *scene) { s.evidence(live(), func(e *Evidence) { e.Mapping = nil }) },
			"nova-manage cell_v2 map_instances --reset --cell_uuid cell-uuid"},
		{func(s *scene) {
			s.migrates("error", true)
			s.evidence(live(), nil)
			s.hold(mine, node1)
			s.hold(moved, node2)
		},
			"ansible ctl -b -m placement_allocation -a 'consumer=" + moved + " instance_uuid=" + mine + " state=absent nova_conf=/n.conf'"},
		{func(s *scene) { s.evidence(nil, nil); s.hold(mine, node2) }, "ansible-playbook purge.yml -e instance_uuid=" + mine},
		{func(s *scene) { s.evidence(live(properly), nil); s.hold(mine, node2) }, "ansible-playbook purge.yml -e instance_uuid=" + mine},
		{func(s *scene) { s.evidence(nil, nil); s.domain(1, true); s.hold(mine, node2) },
			"ansible-playbook purge.yml -e instance_uuid=" + mine},
		{func(s *scene) { s.evidence(live(properly), nil); s.domain(0, true) }, "ansible-playbook purge.yml -e instance_uuid=" + mine},
		{func(s *scene) {
			s.evidence(nil, func(e *Evidence) {
				e.BuildRequest, e.RequestedAt, e.Mapping = true, noon.Add(-24*time.Hour), &Mapping{}
			})
		}, "openstack server delete " + mine},
		{func(s *scene) { // the API answers 404
			s.evidence(nil, func(e *Evidence) { e.BuildRequest, e.RequestedAt = true, noon.Add(-24*time.Hour) })
		}, "ansible-playbook purge.yml -e instance_uuid=" + mine},
	} {
		s := newScene()
		test.make(s)
		findings, _ := s.Findings(s.looks, s.owners, Commands{Controller: "ctl", Playbook: "purge.yml", Credentials: "nova_conf=/n.conf"})
		if len(findings) != 1 || findings[0].Command != test.want {
			t.Errorf("got %+v, want %s", findings, test.want)
		}
	}
}

func TestWhatIsLeftOfALostInstanceInTheAPIDatabaseGoesByItsPurge(t *testing.T) {
	for remains, change := range map[string]func(*Evidence){
		"mapping":       func(e *Evidence) { e.Mapping = &Mapping{HasCell: true, CellKnown: true} },
		"build request": func(e *Evidence) { e.BuildRequest, e.RequestedAt = true, noon.Add(-24*time.Hour) },
	} {
		s := newScene()
		s.evidence(nil, change)
		findings, _ := s.Findings(s.looks, s.owners, Commands{})
		if len(findings) != 1 || findings[0].Method != "nova_instance_purge" ||
			!slices.Equal(findings[0].Plan, []string{"nova_api: the " + remains + " goes"}) {
			t.Errorf("%s: got %+v", remains, findings)
		}
	}
}

func TestACommandNamesTheInventory(t *testing.T) {
	commands := Commands{Controller: "ctl", Playbook: "purge.yml", Inventory: []string{"/etc/a", "/etc/b"}, Credentials: "cloud=c"}
	for want, make := range map[string]func(*scene){
		"ansible-playbook -i /etc/a -i /etc/b purge.yml -e instance_uuid=" + mine: func(s *scene) {
			s.evidence(live(func(r *Row) { r.Deleted = 1 }), nil)
		},
		"ansible ctl -i /etc/a -i /etc/b -b -m placement_allocation -a 'consumer=" + moved + " instance_uuid=" + mine +
			" state=absent cloud=c'": func(s *scene) {
			s.migrates("error", true)
			s.evidence(live(), nil)
			s.hold(mine, node1)
			s.hold(moved, node2)
		},
		"ansible inv2 -i /etc/a -i /etc/b -b -m libvirt_undefine -a uuid=" + mine: func(s *scene) {
			s.evidence(live(), nil)
			s.domain(0, true)
			s.domain(1, true)
		},
	} {
		s := newScene()
		make(s)
		if findings, _ := s.Findings(s.looks, s.owners, commands); len(findings) != 1 || findings[0].Command != want {
			t.Errorf("got %v, want %s", findings, want)
		}
	}
}

func TestWhatOthersUseIsKept(t *testing.T) {
	s := newScene()
	s.evidence(live(func(r *Row) { r.Deleted = 1 }), nil)
	s.domain(0, true)
	s.Hypervisors[0].Domains[1].SharesDisksWith = []string{theirs}
	findings, _ := s.Findings(s.looks, s.owners, Commands{})
	if len(findings) != 1 || !slices.Equal(findings[0].Keeps, []string{"host1: domain " + theirs + " uses a disk of it"}) {
		t.Errorf("got %+v", findings)
	}
	s = newScene()
	s.evidence(nil, nil)
	s.Hypervisors[1].Files = []InstanceFiles{{UUID: mine, Path: "/instances/" + mine, UsedBy: []string{theirs}}}
	findings, _ = s.Findings(s.looks, s.owners, Commands{})
	if len(findings) != 1 || !strings.HasPrefix(findings[0].Keeps[0], "host2: domain "+theirs+" uses something in") ||
		strings.Contains(findings[0].Command, "absent") {
		t.Errorf("got %+v", findings)
	}
	// Of storage that they share, each host tells of its own domains only.
	s.Hypervisors[0].Files = []InstanceFiles{{UUID: mine, Path: "/instances/" + mine}}
	findings, _ = s.Findings(s.looks, s.owners, Commands{})
	if len(findings) != 1 || strings.Contains(findings[0].Command, "absent") {
		t.Errorf("on shared storage: got %+v", findings)
	}
}

func TestALiveInstanceIsNeverToBePurged(t *testing.T) {
	for _, test := range []func(*scene){
		func(s *scene) { s.evidence(live(), func(e *Evidence) { e.Mapping = nil }) },
		func(s *scene) { s.evidence(live(), func(e *Evidence) { e.Mapping.HasCell = false }) },
		func(s *scene) { s.evidence(live(func(r *Row) { r.Host, r.Node = "host9", "host9.example" }), nil) },
		func(s *scene) { s.evidence(live(), nil); s.hold(mine, node2) },
		func(s *scene) { s.migrates("confirmed", true); s.evidence(live(), nil); s.hold(moved, node2) },
		func(s *scene) { s.evidence(live(), nil); s.domain(1, true) },
	} {
		s := newScene()
		test(s)
		findings, _ := s.Findings(s.looks, s.owners, Commands{Controller: "ctl", Playbook: "purge_orphan.yml"})
		if len(findings) != 1 || findings[0].Verdict != Live || strings.Contains(findings[0].Command, "purge_orphan") ||
			findings[0].Command == "" {
			t.Errorf("got %+v", findings)
		}
	}
}

func TestWhatALiveInstanceLivesOnIsNotLeft(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(*scene)
		want string // what, and where; the sum of VCPUs
	}{
		{"no mapping", func(s *scene) { s.evidence(live(), func(e *Evidence) { e.Mapping = nil }) }, "row host1; 0"},
		{"an allocation on another host", func(s *scene) { s.evidence(live(), nil); s.hold(mine, node2) }, "allocation host2; 1"},
		{"a migration that is over", func(s *scene) {
			s.migrates("confirmed", true)
			s.evidence(live(), nil)
			s.hold(moved, node2)
		}, "migration_allocation host2; 1"},
		{"a domain on another host", func(s *scene) { s.evidence(live(), nil); s.domain(1, true) }, "domain host2; 0"},
		{"a domain on another host, and one on a hypervisor that is no compute node", func(s *scene) {
			s.evidence(live(), nil)
			s.domain(1, true)
			s.Hypervisors = append(s.Hypervisors, Hypervisor{Host: "inv3", Name: "renamed.example"})
			s.domain(2, true)
		}, "domain host2; 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene()
			s.hold(mine, node1)
			s.domain(0, true)
			test.make(s)
			findings, _ := s.Findings(s.looks, s.owners, Commands{Controller: "ctl"})
			var all []string
			for _, r := range findings[0].Remains {
				all = append(all, r.What+" "+r.Host)
			}
			all = append(all, fmt.Sprint(findings[0].Resources["VCPU"]))
			if got := strings.Join(all, "; "); got != test.want || strings.Contains(findings[0].Command, "inv3") {
				t.Errorf("got %q, %s, want %q", got, findings[0].Command, test.want)
			}
		})
	}
}
