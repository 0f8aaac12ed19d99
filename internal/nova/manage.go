package nova

import (
	"io"
	"os"
	"path/filepath"
)

// Manage is nova-manage on the controller that has this nova.conf, as the words of a command; none where it is not found, or may be either
// of two. OpenStack-Ansible's /etc/nova leads into the virtual environment that is in use, and kolla-ansible and TripleO have it in
// nova-api's container.
func Manage(conf string) []string {
	search := filepath.SplitList(os.Getenv("PATH"))
	if folder, err := filepath.EvalSymlinks(filepath.Dir(conf)); err == nil {
		search = append(search, filepath.Join(folder, "../../bin"))
	}
	if path := program("nova-manage", search); path != "" {
		return []string{path}
	}
	docker, podman := program("docker", search), program("podman", search)
	if podman != "" && docker != "" && !isBinary(docker) {
		docker = "" // the script of the package podman-docker
	}
	if (docker == "") == (podman == "") {
		return nil
	}
	return []string{docker + podman, "exec", "nova_api", "nova-manage"}
}

// program looks for one as a shell does; a module runs none.
func program(name string, search []string) string {
	for _, folder := range search {
		path := filepath.Join(folder, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// isBinary tells a program from a script.
func isBinary(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return true
	}
	defer file.Close()
	head := make([]byte, 2)
	_, err = io.ReadFull(file, head)
	return err != nil || string(head) != "#!"
}
