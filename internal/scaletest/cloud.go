// Package scaletest makes a whole cloud, as large as is asked for: the rows of Nova's and Placement's databases, and what
// each hypervisor has. Some of it is orphaned, some only looks so, and the truth about both is told. The same seed
// gives the same cloud, so that two ways to find orphans can be compared on it.
package scaletest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"nova-orphan/internal/orphan"
)

// Size says how large the cloud is.
type Size struct {
	Seed uint64
	// Providers are Placement's resource providers: compute hosts, their children, and sharing ones.
	Providers int
	// Instances are all that Nova knows or knew, a fifth of them properly deleted; orphans and traps are among them.
	Instances int
	Orphans   int
	Traps     int
}

// Truth is what a perfect audit finds, and what it leaves alone.
type Truth struct {
	Orphans map[string]Orphan `json:"orphans"`
	// Traps are live, or are somebody else's, or are not over yet: by uuid, what they are.
	Traps map[string]string `json:"traps"`
	// Migrations are the uuids of all migrations, with those of their instances: they are consumers, too.
	Migrations map[string]string `json:"migrations"`
}

// Orphan is one finding of a perfect audit.
type Orphan struct {
	Kind orphan.Kind `json:"kind"`
	// Case is which of the ways to get so it is.
	Case string `json:"case"`
	// Cell is that of its host, whether or not it has a row there; "" for a provider.
	Cell string `json:"cell"`
}

// Databases that the rows are for. Each is a schema of its own.
const (
	API       = "api"
	Cell0     = "cell0"
	Cell1     = "cell1"
	Cell2     = "cell2"
	Placement = "placement"
)

// CellIDs are the cells' ids in cell_mappings.
func CellIDs() map[string]int { return map[string]int{Cell0: 1, Cell1: 2, Cell2: 3} }

// Row is a row of a table, by column. All rows of a table have the same columns; a nil is NULL.
type Row map[string]any

// Writer takes the rows, one table's among another's.
type Writer interface {
	Write(database, table string, row Row) error
}

// Cloud is what is beside the rows.
type Cloud struct {
	Truth       Truth
	Hypervisors []*Hypervisor
}

// Generate makes a cloud as it is at that time, by the databases' clock. What is under way in it began less than
// half a minute before, and nothing that is orphaned was touched in the last day.
func Generate(size Size, now time.Time, to Writer) (Cloud, error) {
	g := &generator{
		Size: size, now: now.UTC().Truncate(time.Second), to: to, rng: rand.New(rand.NewPCG(size.Seed, 0)), ids: map[string]int{},
		consumers: map[string]bool{},
		Cloud:     Cloud{Truth: Truth{map[string]Orphan{}, map[string]string{}, map[string]string{}}},
	}
	g.owners()
	g.tree()
	for i := range size.Orphans {
		g.orphan(i)
	}
	for i := range size.Traps {
		g.trap(i)
	}
	for i := range size.Instances - g.instances {
		g.ordinary(i)
	}
	g.hostRows()
	return g.Cloud, g.err
}

type generator struct {
	Size
	Cloud
	now       time.Time
	to        Writer
	rng       *rand.Rand
	ids       map[string]int // the last id given, by table
	consumers map[string]bool
	instances int       // that have been made so far
	latest    *instance // the last of them
	projects  []owner
	hosts     []*host
	scrapped  []*host // those that have a provider and nothing else
	sharing   []provider
	err       error // the first failure to write
}

// owner is a project with its one user, and their ids in Placement.
type owner struct {
	project, user string
	id            int
}

type flavor struct {
	id                      int
	name                    string
	vcpus, memoryMB, rootGB int
	fromVolume, withPCI     bool
}

// flavors are those of all instances; the last two are only asked for by name.
var flavors = []flavor{
	{id: 101, name: "s1.tiny", vcpus: 1, memoryMB: 512, rootGB: 5},
	{id: 102, name: "s1.small", vcpus: 1, memoryMB: 2048, rootGB: 20},
	{id: 103, name: "s1.medium", vcpus: 2, memoryMB: 4096, rootGB: 40},
	{id: 104, name: "s1.large", vcpus: 4, memoryMB: 8192, rootGB: 80},
	{id: 105, name: "s1.volume", vcpus: 2, memoryMB: 4096, fromVolume: true},
	{id: 106, name: "s1.pci", vcpus: 2, memoryMB: 4096, rootGB: 40, withPCI: true},
}

func (g *generator) id(table string) int {
	g.ids[table]++
	return g.ids[table]
}

func (g *generator) uuid() string {
	a, b := g.rng.Uint64(), g.rng.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", uint32(a>>32), uint16(a>>16), a&0xfff, 0x8000|b>>48&0x3fff, b&0xffffffffffff)
}

func (g *generator) hex() string { return fmt.Sprintf("%016x%016x", g.rng.Uint64(), g.rng.Uint64()) }

// ago is a time that many days ago, and some hours.
func (g *generator) ago(days int) time.Time {
	return g.now.AddDate(0, 0, -days).Add(-time.Duration(g.rng.IntN(20*60)) * time.Minute)
}

// justNow is within the last half minute.
func (g *generator) justNow() time.Time {
	return g.now.Add(-time.Duration(g.rng.IntN(30)) * time.Second)
}

func (g *generator) write(database, table string, row Row) {
	columns := defaults[strings.TrimPrefix(table, "shadow_")]
	full := make(Row, len(columns))
	for column, value := range columns {
		full[column] = value
	}
	for column, value := range row {
		if _, found := full[column]; !found && g.err == nil {
			g.err = fmt.Errorf("write %s.%s: no column %s", database, table, column)
		}
		full[column] = value
	}
	if g.err == nil {
		g.err = g.to.Write(database, table, full)
	}
}

func pick[T any](g *generator, from []T) T { return from[g.rng.IntN(len(from))] }

func (g *generator) owners() {
	for i := range 20 {
		o := owner{g.hex(), g.hex(), i + 1}
		g.projects = append(g.projects, o)
		g.write(Placement, "projects", Row{"id": o.id, "external_id": o.project})
		g.write(Placement, "users", Row{"id": o.id, "external_id": o.user})
	}
	for _, f := range flavors {
		g.write(API, "flavors", Row{"id": f.id, "name": f.name, "flavorid": f.name, "memory_mb": f.memoryMB, "vcpus": f.vcpus,
			"root_gb": f.rootGB})
	}
	for id, name := range consumerTypes {
		g.write(Placement, "consumer_types", Row{"id": id + 1, "name": name})
	}
}
