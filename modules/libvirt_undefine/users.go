package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"nova-orphan/internal/hypervisor"
)

// sharer is somebody else who uses what is the instance's.
type sharer struct {
	Kind string   `json:"kind"`
	Name string   `json:"name"`
	UUID string   `json:"uuid,omitempty"`
	PID  int      `json:"pid,omitempty"`
	Uses []string `json:"uses"`
	// off: a domain that would use it when it is started.
	off bool
}

// Kinds of users.
const (
	aDomain  = "domain"
	aProcess = "process"
	aDevice  = "device" // a loop device
	// aVolume is a domain that uses a volume of the orphan's: Cinder says whose that is.
	aVolume = "volume"
)

// usage is what the host's domains and processes use.
type usage struct {
	Domains   []hypervisor.DomainUse
	Processes []hypervisor.ProcessUse
}

// readUsage looks at the domains first: one that is started after that is a process. Of
// the processes it takes what may be of one of these instances.
func readUsage(ctx context.Context, libvirt hypervisor.Libvirt, uuids ...string) (found usage, err error) {
	// Each time another may be powered off between the two looks, as those of the same list are.
	for missed := map[string]int{}; ; {
		if found.Domains, err = libvirt.DomainUses(ctx); err != nil {
			return usage{}, err
		}
		files, asked := map[string]bool{}, map[string]bool{}
		for _, uuid := range uuids {
			asked[uuid] = true
			for _, path := range ownFiles(found.domain(uuid)) {
				files[path] = true
			}
		}
		found.Processes, err = libvirt.ProcessUses(ctx, func(path string) bool {
			return files[path] || slices.ContainsFunc(components(path), func(part string) bool {
				return len(part) >= uuidLength && asked[part[:uuidLength]]
			})
		})
		if err != nil {
			return usage{}, err
		}
		at := slices.IndexFunc(found.Domains, found.isUnseen)
		if at < 0 {
			return found, nil
		}
		domain := found.Domains[at]
		if missed[domain.UUID]++; missed[domain.UUID] == attempts {
			return usage{}, fmt.Errorf("domain %s (%s) is on, but its QEMU is not among the processes to be seen from here, so that it cannot be "+
				"told who uses the instance's files: run it where the host's processes are seen", domain.Name, domain.UUID)
		}
	}
}

// isUnseen says that the domain is on, but its QEMU not to be seen: then the processes that
// are to be seen are not the host's, as in a container with processes of its own.
func (u usage) isUnseen(domain hypervisor.DomainUse) bool {
	return domain.Active && domain.QEMU &&
		!slices.ContainsFunc(u.Processes, func(p hypervisor.ProcessUse) bool { return p.GuestUUID == domain.UUID })
}

// users lists who else uses the instance's files, images and volumes.
func (u usage) users(uuid, backupDir string) []sharer {
	users := []sharer{}
	own := u.domain(uuid)
	files, volumes := ownFiles(own), volumesOf(own, backupDir)
	add := func(user sharer, of func(path string) bool, uses ...string) {
		for _, what := range uses {
			if of(what) && !slices.Contains(user.Uses, what) {
				user.Uses = append(user.Uses, what)
			}
		}
		if len(user.Uses) > 0 {
			users = append(users, user)
		}
	}
	ofInstance := func(what string) bool { return belongs(uuid, backupDir, what) || slices.Contains(files, what) }
	for _, domain := range u.Domains {
		if domain.UUID == uuid {
			continue
		}
		user, uses := sharer{Kind: aDomain, Name: domain.Name, UUID: domain.UUID, PID: domain.PID, off: !domain.Active}, domain.Uses
		for _, process := range u.Processes {
			if isQEMUOf(process, domain) {
				user.PID, uses = process.PID, slices.Concat(uses, process.Uses)
			}
		}
		add(user, ofInstance, uses...)
		user.Kind = aVolume
		add(user, func(what string) bool { return slices.Contains(volumes, what) }, domain.Uses...)
	}
	for _, process := range u.Processes {
		// The QEMU of a domain is told as that, or is the orphan's own.
		isGuest := slices.ContainsFunc(u.Domains, func(d hypervisor.DomainUse) bool { return isQEMUOf(process, d) })
		if !isGuest && !slices.Contains(daemons, process.Command) {
			user := sharer{Kind: aProcess, Name: strings.TrimSpace(process.Command + " " + process.Guest), UUID: process.GuestUUID, PID: process.PID}
			if process.PID == 0 {
				user.Kind = aDevice
			}
			add(user, ofInstance, process.Uses...)
		}
	}
	slices.SortStableFunc(users, func(a, b sharer) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.PID, b.PID))
	})
	return users
}

// isQEMUOf: one that somebody has started with the command line of the domain is not.
func isQEMUOf(process hypervisor.ProcessUse, domain hypervisor.DomainUse) bool {
	return domain.Active && domain.UUID == process.GuestUUID && (domain.PID == 0 || domain.PID == process.PID)
}

// daemons are libvirt's own, which hold files on behalf of its domains: virtlogd the
// console's log, virtlockd the disks.
var daemons = []string{"libvirtd", "virtqemud", "virtstoraged", "virtlogd", "virtlockd"}

// objection is the reason that the user is; a volume's is none.
func (u sharer) objection() string {
	uses, is := strings.Join(u.Uses, ", "), fmt.Sprintf("%s %s (%s)", u.Kind, u.Name, u.UUID)
	var does, do string
	switch {
	case u.Kind == aVolume:
		return ""
	case u.Kind == aDevice:
		is, does, do = u.Name, "has "+uses, "detach it (losetup --detach)"
	case u.Kind == aProcess:
		is, does, do = fmt.Sprintf("process %d (%s)", u.PID, u.Name), "has "+uses+" open", "end it or move the files away"
	case u.off:
		does, do = "is off, and uses "+uses, "move the disk away or undefine that domain"
	default:
		does, do = "runs from "+uses, "shut it down and move the disk away"
	}
	return fmt.Sprintf("%s %s, which may go with the instance: %s, then run this again", is, does, do)
}

func objections(users []sharer) (reasons []string) {
	for _, user := range users {
		if reason := user.objection(); reason != "" {
			reasons = append(reasons, reason)
		}
	}
	return reasons
}

func (u usage) domain(uuid string) hypervisor.DomainUse {
	if at := slices.IndexFunc(u.Domains, func(d hypervisor.DomainUse) bool { return d.UUID == uuid }); at >= 0 {
		return u.Domains[at]
	}
	return hypervisor.DomainUse{UUID: uuid}
}

// belongs says whether nova-compute removes this with the instance: its folder UUID,
// UUID_resize or UUID_del (nova/virt/libvirt/utils.py get_instance_path, driver.py
// delete_instance_files), the images and logical volumes UUID_disk, UUID_disk.config...
// What libvirt and this module themselves keep under the uuid is none of it.
func belongs(uuid, backupDir, path string) bool {
	if !strings.Contains(path, uuid) {
		return false
	}
	for _, folder := range []string{filepath.Join(swtpmFolder, uuid), filepath.Join(backupDir, uuid)} {
		if path == folder || strings.HasPrefix(path, folder+"/") {
			return false
		}
	}
	return slices.ContainsFunc(components(path), func(part string) bool { return part == uuid || strings.HasPrefix(part, uuid+"_") })
}

const uuidLength = 36

// components are the names in a path, which may itself stand within an option of QEMU's,
// or in a json: name of an image; none where none of them can have a uuid.
func components(path string) []string {
	if strings.Count(path, "-") < 4 {
		return nil
	}
	return strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune(`/\,=:;"'{}[] `, r) })
}

// ownFiles are the domain's disks in files, wherever they are: but for what it only
// reads, which others may read, too, and volumes.
func ownFiles(own hypervisor.DomainUse) []string {
	return paths(own, func(disk hypervisor.DiskUse) bool { return disk.File && !isVolume(disk) })
}

func volumesOf(own hypervisor.DomainUse, backupDir string) []string {
	return paths(own, func(disk hypervisor.DiskUse) bool {
		return !belongs(own.UUID, backupDir, disk.Source) && (!disk.File || isVolume(disk))
	})
}

// paths are those of the disks that it writes, and where they lead.
func paths(own hypervisor.DomainUse, wanted func(hypervisor.DiskUse) bool) (found []string) {
	for _, disk := range own.Disks {
		if disk.ReadOnly || !wanted(disk) {
			continue
		}
		found = append(found, disk.Source)
		if disk.Target != "" {
			found = append(found, disk.Target)
		}
	}
	return found
}

var (
	volumeSerial = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	volumeName   = regexp.MustCompile(`(^|/)volume-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
)

// isVolume: Nova gives a volume's id as the disk's serial number; on NFS it is a file.
func isVolume(disk hypervisor.DiskUse) bool {
	return volumeSerial.MatchString(disk.Serial) || volumeName.MatchString(disk.Source)
}
