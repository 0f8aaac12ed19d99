package instancefiles

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"nova-orphan/internal/ansible"
)

// Content is what a folder has.
type Content struct {
	Folder
	Files int `json:"files"`
	// Bytes are those that it takes on the disk, which of sparse disks are fewer than their size.
	Bytes int64 `json:"bytes"`
	// Changed is when anything in it was last written, renamed, or given another owner, by this host's clock.
	Changed time.Time `json:"-"`
	// Obstacle is why it cannot be removed by this package, and what to do; empty if it can be.
	Obstacle string `json:"-"`
}

// String tells a folder with its size.
func (c Content) String() string {
	return fmt.Sprintf("%s (%s in %d files)", c.Path, size(c.Bytes), c.Files)
}

func size(bytes int64) string {
	const mib, gib = 1 << 20, 1 << 30
	if bytes < gib {
		return fmt.Sprintf("%.1f MiB", float64(bytes)/mib)
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/gib)
}

// Contents looks into the folders of an instance. What cannot be read is an error: nobody can then say what would go.
func (h *Host) Contents(uuid string) (all []Content, err error) {
	folders, err := h.Of(uuid)
	if err != nil {
		return nil, err
	}
	// Of a container that has its own processes alone, /proc has nothing of this one.
	mounted, err := ansible.OnHost(h.call, func() ([]string, error) { return mountPoints(mountInfo) })
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		content, err := h.content(folder, mounted)
		if errors.Is(err, fs.ErrNotExist) { // it has gone since
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look into %s: %w", folder.Path, err)
		}
		all = append(all, content)
	}
	return all, nil
}

func (h *Host) content(folder Folder, mounted []string) (Content, error) {
	c := Content{Folder: folder}
	name := filepath.Base(folder.Path)
	info, err := h.root.Lstat(name)
	if err != nil {
		return c, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, _ := h.root.Readlink(name)
		c.Obstacle = fmt.Sprintf("%s is a link to %s, which is not followed: remove both by hand", folder.Path, target)
		return c, nil
	}
	if c.Obstacle, err = h.mountsIn(folder, mounted); err != nil {
		return c, err
	}
	return c, fs.WalkDir(h.root.FS(), name, func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			info, err = entry.Info()
		}
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != name:
			return nil
		case err != nil:
			return err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			c.Bytes += stat.Blocks * 512
			if changed := time.Unix(stat.Ctim.Unix()); changed.After(c.Changed) {
				c.Changed = changed
			}
		}
		if !entry.IsDir() {
			c.Files++
		}
		return nil
	})
}

const mountInfo = "/proc/self/mountinfo"

var octal = regexp.MustCompile(`\\[0-7]{3}`)

// mountsIn: what is mounted there is no file of the instance's, as a disk that somebody looks into.
func (h *Host) mountsIn(folder Folder, mounted []string) (obstacle string, err error) {
	resolved, err := filepath.EvalSymlinks(h.path)
	if err != nil {
		return "", err
	}
	resolved = filepath.Join(resolved, filepath.Base(folder.Path))
	for _, point := range mounted {
		if point == resolved || strings.HasPrefix(point, resolved+"/") {
			return fmt.Sprintf("something is mounted at %s: umount it", point), nil
		}
	}
	return "", nil
}

// mountPoints reads the fifth field of each line (proc_pid_mountinfo(5)), in which a space is \040.
func mountPoints(file string) (points []string, err error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("look what is mounted: %w", err)
	}
	for line := range bytes.Lines(content) {
		fields := strings.Fields(string(line))
		if len(fields) < 5 {
			return nil, fmt.Errorf("look what is mounted: %s has the line %q", file, line)
		}
		points = append(points, unescaped(fields[4]))
	}
	// Of a thread whose root is another's the kernel leaves out what cannot be reached from there (fs/proc_namespace.c show_mountinfo).
	if !slices.Contains(points, "/") {
		return nil, fmt.Errorf("look what is mounted: %s does not have the root", file)
	}
	return points, nil
}

func unescaped(path string) string {
	return octal.ReplaceAllStringFunc(path, func(code string) string {
		char, _ := strconv.ParseUint(code[1:], 8, 8)
		return string([]byte{byte(char)})
	})
}

// Remove removes a folder that Contents has found nothing against. One that is gone already is not removed, and no error. As Nova does
// (nova/virt/libvirt/driver.py delete_instance_files) it first renames it to UUID_del, so that nobody finds a part of it in its
// place, and a removal that is cut off is gone on with. None of it can be put back.
func (h *Host) Remove(f Folder) (removed bool, err error) {
	name, renamed := filepath.Base(f.Path), f.UUID+"_del"
	if _, err = h.root.Lstat(name); err == nil && name != renamed {
		err = h.root.Rename(name, renamed)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("remove %s: %w", f.Path, err)
	}
	if err := h.root.RemoveAll(renamed); err != nil {
		return false, fmt.Errorf("remove %s, of which a part is left as %s: %w", f.Path, renamed, err)
	}
	return true, nil
}

// local are the file systems of a single host, by statfs(2)'s type; of any other it cannot be told who else has it.
var local = []int64{
	0xEF53,                             // ext2, ext3, ext4
	0x58465342, 0x9123683E, 0xCA451A4E, // XFS, Btrfs, bcachefs
	0x2FC12FC1, 0xF2F52010, // ZFS, F2FS
	0x01021994, 0x794C7630, // tmpfs, overlayfs
}

var names = map[int64]string{
	0x6969: "NFS", 0x00C36400: "CephFS", 0x65735546: "FUSE, as GlusterFS has it", 0xFF534D42: "SMB", 0xFE534D42: "SMB", 0x7461636F: "OCFS2",
	0x01161970: "GFS2", 0x0BD00BD0: "Lustre", 0x47504653: "GPFS", 0x01021997: "9P",
}

const exports = "/var/lib/nfs/etab"

// exportsIn are the folders that an NFS server exports (exports(5)).
func exportsIn(file string) (folders []string, err error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for line := range bytes.Lines(content) {
		if folder, _, _ := strings.Cut(unescaped(string(line)), "\t"); folder != "" {
			folders = append(folders, folder)
		}
	}
	return folders, err
}

// exportOf is the folder that this host exports by NFS and that has the path in it; empty if there is none. What is a container's has
// another path on the host: then each on the same file system may have it.
func exportOf(call *ansible.Call, file, path string) (export string, err error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	own, err := os.Stat(resolved)
	if err != nil {
		return "", err
	}
	return ansible.OnHost(call, func() (string, error) {
		folders, err := exportsIn(file)
		for _, folder := range folders {
			if strings.HasPrefix(resolved+"/", strings.TrimSuffix(folder, "/")+"/") {
				return folder, nil
			}
			if !call.Entered() {
				continue
			}
			info, unseen := os.Stat(folder)
			if unseen != nil {
				return "", unseen
			}
			if deviceOf(info) == deviceOf(own) {
				return folder, nil
			}
		}
		return "", err
	})
}

func deviceOf(info fs.FileInfo) uint64 { return uint64(info.Sys().(*syscall.Stat_t).Dev) }

// Shared is why other hosts may have the same folders; empty if none has. A domain of theirs that uses one is not to be seen from
// here. By Nova's own registry (nova/virt/storage_users.py) also a host counts that has not been seen for long, since it may come back.
func (h *Host) Shared() (why string, err error) {
	const advice = "look on each of them that no domain uses the folder, and remove it by hand"
	folder, err := h.root.Open(".")
	if err != nil {
		return "", fmt.Errorf("look whether %s is shared: %w", h.path, err)
	}
	defer folder.Close()
	var stat syscall.Statfs_t
	if err = syscall.Fstatfs(int(folder.Fd()), &stat); err != nil {
		return "", fmt.Errorf("look whether %s is shared: statfs: %w", h.path, err)
	}
	if kind := int64(uint32(stat.Type)); !slices.Contains(local, kind) {
		called := cmp.Or(names[kind], fmt.Sprintf("a file system of type 0x%x", kind))
		return fmt.Sprintf("%s is on %s, which other hosts may have as well: %s", h.path, called, advice), nil
	}
	export, err := exportOf(h.call, exports, h.path)
	if err != nil {
		return "", fmt.Errorf("look whether %s is shared: %w", h.path, err)
	}
	if export != "" {
		return fmt.Sprintf("%s is exported by NFS as %s: %s", h.path, export, advice), nil
	}
	const registry = "compute_nodes"
	content, err := h.root.ReadFile(registry)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	hosts := map[string]float64{}
	if err == nil {
		err = json.Unmarshal(content, &hosts)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("look whether %s is shared: read Nova's registry %s: %w", h.path, registry, err)
	case len(hosts) > 1:
		return fmt.Sprintf("%s is shared, since Nova's registry %s in it has the hosts %s: %s, or take those out of the file that use it no "+
			"more", h.path, registry, strings.Join(slices.Sorted(maps.Keys(hosts)), ", "), advice), nil
	}
	return "", nil
}
