// Command scale, run on the lab's controller, makes a whole cloud and measures on it how orphans are found.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"nova-orphan/internal/scaletest"
	"nova-orphan/internal/scaletest/scalelab"
)

const folder = "/var/tmp/nova-orphan-scale"

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: scale up|down")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	var size scaletest.Size
	flags.Uint64Var(&size.Seed, "seed", 1, "")
	flags.IntVar(&size.Providers, "providers", 1000, "")
	flags.IntVar(&size.Instances, "instances", 20000, "")
	flags.IntVar(&size.Orphans, "orphans", 200, "")
	flags.IntVar(&size.Traps, "traps", 100, "")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "up":
		lab, err := scalelab.Up(ctx, folder, size)
		if err == nil {
			fmt.Printf("%d instances loaded in %.1f s\n", size.Instances, lab.Loading.Seconds())
		}
		return err
	case "down":
		return scalelab.Down(ctx, folder)
	}
	return fmt.Errorf("no command %s", args[0])
}
