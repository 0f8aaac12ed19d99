// Command scale, run on the lab's controller, makes a whole cloud and measures on it how orphans are found.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"nova-orphan/internal/scaletest"
	"nova-orphan/internal/scaletest/scalelab"
)

const folder = "/var/tmp/nova-orphan-scale"

func main() { os.Exit(run(context.Background(), os.Args[1:])) }

const usage = `usage: scale up [-seed N] [-providers N] [-instances N] [-orphans N] [-traps N]
       scale measure [-runs N] [-workers N] [-without-nova-manage] MODULE
       scale down
`

func run(ctx context.Context, args []string) int {
	commands := map[string]func(context.Context, []string) (string, error){"up": up, "measure": measure, "down": down}
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	text, err := commands[args[0]](ctx, args[1:])
	fmt.Print(text)
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		return 1
	}
	return 0
}

func up(ctx context.Context, args []string) (string, error) {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	var size scaletest.Size
	flags.Uint64Var(&size.Seed, "seed", 1, "")
	flags.IntVar(&size.Providers, "providers", 1000, "")
	flags.IntVar(&size.Instances, "instances", 20000, "")
	flags.IntVar(&size.Orphans, "orphans", 200, "")
	flags.IntVar(&size.Traps, "traps", 100, "")
	if err := flags.Parse(args); err != nil {
		return "", err
	}
	lab, err := scalelab.Up(ctx, folder, size)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("\n%d providers, %d instances (loaded in %.1f s), %d orphans, %d traps\n", size.Providers, size.Instances,
		lab.Loading.Seconds(), len(lab.Truth.Orphans), len(lab.Truth.Traps)), nil
}

func down(ctx context.Context, _ []string) (string, error) { return "", scalelab.Down(ctx, folder) }

// way is a way to find orphans, and all its audits.
type way struct {
	name   string
	short  string
	audit  func(context.Context) (scalelab.Audit, error)
	runs   int
	audits []scalelab.Audit
}

// middle is the audit that took the median time.
func (w way) middle() scalelab.Audit {
	slices.SortFunc(w.audits, func(a, b scalelab.Audit) int { return cmp.Compare(a.Took, b.Took) })
	return w.audits[len(w.audits)/2]
}

func measure(ctx context.Context, args []string) (string, error) {
	flags := flag.NewFlagSet("measure", flag.ContinueOnError)
	runs := flags.Int("runs", 3, "")
	workers := flags.Int("workers", 8, "")
	without := flags.Bool("without-nova-manage", false, "")
	if err := flags.Parse(args); err != nil {
		return "", err
	}
	lab, err := scalelab.Open(folder)
	if err != nil {
		return "", err
	}
	module := func(more map[string]any) func(context.Context) (scalelab.Audit, error) {
		return func(ctx context.Context) (scalelab.Audit, error) {
			return lab.Module(ctx, flags.Arg(0), lab.Options(more))
		}
	}
	ways := []way{
		{name: fmt.Sprintf("nova_orphan_info, API, %d workers", *workers), short: "API", runs: *runs,
			audit: module(map[string]any{"workers": *workers})},
		{name: "nova_orphan_info, SQL", short: "SQL", audit: module(map[string]any{"placement_conf": lab.PlacementConf()}), runs: *runs},
	}
	if !*without {
		ways = append(ways, way{name: "nova-manage placement audit", short: "nova-manage", audit: lab.NovaManage, runs: 1})
	}
	for run := range *runs { // in turn, so that what else the machine does is shared
		for i := range ways {
			if run >= ways[i].runs {
				continue
			}
			audit, err := ways[i].audit(ctx)
			if err == nil && len(audit.Unread)+len(audit.Unknown) > 0 {
				err = fmt.Errorf("%s: unread %q, unknown %q", ways[i].name, audit.Unread, audit.Unknown)
			}
			if err != nil {
				return "", err
			}
			ways[i].audits = append(ways[i].audits, audit)
		}
	}
	return report(lab, ways)
}

// report is a table of all ways, then of the kinds, then what was wrong. It fails unless the module was right in all.
func report(lab *scalelab.Lab, ways []way) (string, error) {
	var out strings.Builder
	last, scores, faults := ways[len(ways)-1].middle(), make([]scaletest.Score, len(ways)), 0
	fmt.Fprintf(&out, "\n%-34s %8s %7s %8s %9s %8s %7s %6s %6s %6s %6s\n", "", "seconds", "CPU s", "peak MB", "us/inst.", "speed",
		"orphans", "missed", "wrong", "traps", "others")
	for i, w := range ways {
		audit := w.middle()
		score := lab.Truth.Score(audit.Found)
		scores[i] = score
		fmt.Fprintf(&out, "%-34s %8.2f %7.2f %8.0f %9.0f %7.1fx %7d %6d %6d %6d %6d\n", w.name, audit.Took.Seconds(), audit.CPU.Seconds(),
			audit.PeakMB, float64(audit.Took.Microseconds())/float64(lab.Size.Instances), last.Took.Seconds()/audit.Took.Seconds(), score.Right(),
			len(score.Missed), len(score.WrongKind), len(score.Traps), len(score.Others))
	}
	fmt.Fprintf(&out, "\n%-34s %8s", "kind", "all")
	for _, w := range ways {
		fmt.Fprintf(&out, " %12s", w.short)
	}
	fmt.Fprintln(&out)
	kinds, counts := lab.Truth.Kinds()
	for _, kind := range kinds {
		line(&out, string(kind), counts[kind], scores, func(s scaletest.Score) int { return s.Found[kind] })
	}
	line(&out, "(traps)", len(lab.Truth.Traps), scores, func(s scaletest.Score) int { return len(s.Traps) })
	for i, w := range ways[:2] {
		for _, fault := range scores[i].Faults() {
			fmt.Fprintf(&out, "%s: %s\n", w.short, fault)
			faults++
		}
	}
	if ways[0].middle().Findings != ways[1].middle().Findings {
		return out.String(), errors.New("the API and SQL give different findings")
	}
	if faults > 0 {
		return out.String(), fmt.Errorf("nova_orphan_info: %d faults", faults)
	}
	fmt.Fprintln(&out, "\nThe API and SQL give the same findings, byte for byte.")
	return out.String(), nil
}

func line(out *strings.Builder, name string, all int, scores []scaletest.Score, count func(scaletest.Score) int) {
	fmt.Fprintf(out, "%-34s %8d", name, all)
	for _, score := range scores {
		fmt.Fprintf(out, " %12d", count(score))
	}
	fmt.Fprintln(out)
}
