package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec" //nolint:depguard // Ceph's own library would have to be linked: its program is what each host with images in Ceph has
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/hypervisor"
)

// disk is one of the domain's, and whether it is there.
type disk struct {
	Source string `json:"source"`           // as hypervisor.Disk's
	Exists *bool  `json:"exists,omitempty"` // nil: nobody has told
	Unread string `json:"unread,omitempty"` // why not
}

// image is a disk in Ceph that goes with the instance.
type image struct {
	hypervisor.Image
	disk
	Watchers []string `json:"watchers,omitempty"` // their addresses
}

// readDisks looks at the domain's disks, or where there is none, at those of its last backup: nova-compute removes its
// images by their names, even so, and what is left is to be told.
func (r *removal) readDisks(ctx context.Context, found *evidence) error {
	own, domain := found.Usage.domain(r.UUID), found.Domain
	if !found.found() {
		_, last, err := r.lastRecord()
		if err == nil && last.XML != "" {
			own, err = hypervisor.ParseDomainUse(false, last.XML)
		}
		if domain = last.Domain; err != nil {
			r.Warn("which disks the domain had is not known: " + err.Error())
		}
	}
	r.Files, r.Images = []disk{}, []image{}
	for _, of := range domain.Disks {
		if filepath.IsAbs(of.Source) && !hypervisor.IsRemote(r.URI) {
			r.Files = append(r.Files, lookAt(of.Source))
		}
	}
	running := 0
	for _, uuid := range r.RunningElsewhere {
		if uuid == r.UUID {
			running++
		}
	}
	if found.Domain.Active {
		running++
	}
	r.reading = "who has the images of instance " + r.UUID + " open"
	var unread error
	for _, of := range imagesOf(own) {
		seen := r.ceph.ask(ctx, of)
		if r.Images = append(r.Images, seen); seen.Unread != "" {
			unread = fmt.Errorf("who has %s open could not be asked: %s (rbd: [] leaves Ceph unasked)", seen.Source, seen.Unread)
		}
		if reason := seen.objection(running); reason != "" {
			found.Watched = append(found.Watched, reason)
		}
	}
	return unread
}

func lookAt(path string) disk {
	_, err := os.Lstat(path)
	if exists := err == nil; exists || errors.Is(err, fs.ErrNotExist) {
		return disk{Source: path, Exists: &exists}
	}
	return disk{Source: path, Unread: err.Error()}
}

// imagesOf are those in Ceph that nova-compute removes with the instance, by prefix
// (nova/virt/libvirt/driver.py _cleanup_rbd).
func imagesOf(own hypervisor.DomainUse) (images []hypervisor.Image) {
	for _, disk := range own.Disks {
		if disk.Image != nil && strings.HasPrefix(disk.Image.Image, own.UUID+"_") {
			images = append(images, *disk.Image)
		}
	}
	return images
}

// ceph is asked by its own program, for one image at a time: hosts have more to do.
type ceph struct {
	sync.Mutex
	call     *ansible.Call
	command  []string // empty: it is not asked
	patience time.Duration
	hung     string // it has once not answered
}

// patience is how long an answer may take: rbd itself waits minutes for monitors that do not answer (client_mount_timeout).
const patience = 20 * time.Second

// ask asks as the user of QEMU's, whose rights are enough to have the image open.
func (c *ceph) ask(ctx context.Context, of hypervisor.Image) image {
	found := image{Image: of, disk: disk{Source: "rbd:" + of.Pool + "/" + of.Image}}
	c.Lock()
	defer c.Unlock()
	if found.Unread = c.hung; len(c.command) == 0 || c.hung != "" {
		return found
	}
	patient, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	words := slices.Clone(c.command[1:])
	if of.User != "" {
		words = append(words, "--id", of.User)
	}
	var said bytes.Buffer
	run := func() ([]byte, error) {
		command := exec.CommandContext(patient, c.command[0], append(words, "status", "--format", "json", of.Pool+"/"+of.Image)...)
		command.WaitDelay = time.Second // a child of it may live on
		command.Stderr = &said
		return command.Output()
	}
	out, err := run()
	if errors.Is(err, exec.ErrNotFound) { // libvirtd's container need not have it, as where it is a container's engine
		out, err = ansible.OnHost(c.call, run)
	}
	switch found.hear(out, said.String(), err); {
	case ctx.Err() != nil:
		found.Unread = "the time of the whole call was up (timeout)"
	case patient.Err() != nil:
		c.hung = fmt.Sprintf("%s has not answered in time", c.command[0])
		found.Unread = c.hung
	}
	return found
}

// hear reads what rbd says. Only Ceph's own word is one for an image that is not there: a command that is missing may end with 2, too,
// and an image that this user must not open is told alike (tools/rbd/Utils.cc open_image).
func (i *image) hear(out []byte, said string, err error) {
	watchers := gjson.GetBytes(out, "watchers")
	exists := err == nil && gjson.ValidBytes(out) && watchers.IsArray() // up to Luminous it is an object of which each has the same key
	switch {
	case exists:
		for _, watcher := range watchers.Array() {
			i.Watchers = append(i.Watchers, watcher.Get("address").String())
		}
	case err == nil:
		i.Unread = fmt.Sprintf("rbd status says %q", out)
		return
	case !strings.Contains(said, "error opening image "+i.Image.Image+": (2) "):
		i.Unread = strings.Join(append(strings.Fields(said), "("+err.Error()+")"), " ")
		return
	}
	i.Exists = &exists
}

// objection: each guest that runs from the image watches it. One watcher more is somebody else's, in whatever domain, on whatever host.
func (i *image) objection(running int) string {
	if len(i.Watchers) <= running {
		return ""
	}
	return fmt.Sprintf("%s/%s has %d watchers (%s), but %d domains of the instance run: somebody else uses the image, which nova-compute "+
		"deletes: find them (rbd status), have them copy what they need and let go of it, then run this again",
		i.Pool, i.Image.Image, len(i.Watchers), strings.Join(i.Watchers, ", "), running)
}
