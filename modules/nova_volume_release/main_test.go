package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestMain(m *testing.M) { ansibletest.Main(m, name, main, hurry) }

func hurry() {
	openstack.FirstPause, firstLook, detachGrace = time.Millisecond, time.Millisecond, 200*time.Millisecond
}

func TestTheDocumentationSaysWhatTheModuleDeclares(t *testing.T) {
	ansibletest.CheckDocumentation(t, module(), name+".yml")
}

func TestTheModuleAsAnsibleCallsIt(t *testing.T) {
	commands := ansibletest.Commands(name)
	openstacktest.AddCommands(commands, map[string]openstacktest.Command{
		"server": addServer, "volume": addVolume, "attachment": addAttachment, "snapshot": addSnapshot, "image": addImage, "port": addPort,
		"cloud": change, "fail": openstacktest.FailCommand, "requests": requests, "writes": writes, "status": status, "meanwhile": meanwhile,
		"port-of": portOf, "flag": flag,
	})
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: commands, Setup: setup})
}

func setup(env *testscript.Env) error {
	openstacktest.InScript(env)
	return os.WriteFile(env.WorkDir+"/empty.conf", nil, 0o600)
}

func wantArgs(ts *testscript.TestScript, args []string, least int, usage string) {
	if len(args) < least {
		ts.Fatalf("usage: %s", usage)
	}
}

// server UUID STATUS [VOLUME:ATTACHMENT:DEVICE[:delete]]...
func addServer(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 2, "server UUID STATUS [VOLUME:ATTACHMENT:DEVICE[:delete]]...")
	server := openstacktest.Server{Status: args[1], Host: "compute1", Volumes: map[string]bool{},
		Attached: map[string]openstacktest.Attached{}}
	for _, text := range args[2:] {
		parts := strings.Split(text, ":")
		server.Volumes[parts[0]] = len(parts) == 4
		server.Attached[parts[0]] = openstacktest.Attached{Attachment: parts[1], Device: parts[2]}
	}
	cloud.Do(func() { cloud.Servers[args[0]] = server })
}

// volume ID STATUS [multiattach]
func addVolume(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 2, "volume ID STATUS [multiattach]")
	cloud.Do(func() {
		cloud.Volumes = append(cloud.Volumes, &openstacktest.Volume{ID: args[0], Name: "name-of-" + args[0], Status: args[1],
			Multiattach: len(args) == 3})
	})
}

// attachment ID VOLUME INSTANCE STATUS: with planted secrets in its connection
func addAttachment(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 4, "attachment ID VOLUME INSTANCE STATUS")
	cloud.Do(func() {
		cloud.Attachments = append(cloud.Attachments, &openstacktest.Attachment{
			ID: args[0], Volume: args[1], Instance: args[2], Status: args[3], Device: "/dev/vdb", Host: "compute1", Info: plantedConnection(),
		})
	})
}

// plantedConnection has a secret in every place where a driver has been seen to put
// one; each begins with "planted".
func plantedConnection() map[string]any {
	return map[string]any{
		"driver_volume_type": "iscsi", "name": "volumes/volume-1", "hosts": []any{"192.0.2.1"}, "access_mode": "rw", "encrypted": false,
		"target_iqn": "iqn.2010-10.org.openstack:volume-1", "target_portal": "192.0.2.1:3260",
		"auth_method": "CHAP", "auth_username": "planted-user", "auth_password": "planted-chap", "discovery_auth_password": "planted-discovery",
		"keyring": "[client.cinder]\n\tkey = planted-keyring", "secret_uuid": "planted-uuid", "secret": "planted-secret",
		"options": "username=u,password=planted-option", "export": "//user:planted-export@host/share",
		"data": map[string]any{"auth_password": "planted-nested"}, "ports": []any{"planted-not-a-port"},
	}
}

// snapshot ID VOLUME STATUS
func addSnapshot(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 3, "snapshot ID VOLUME STATUS")
	cloud.Do(func() {
		cloud.Snapshots = append(cloud.Snapshots, &openstacktest.Snapshot{ID: args[0], Name: "name-of-" + args[0], Volume: args[1],
			Status: args[2]})
	})
}

// image ID INSTANCE|- [SNAPSHOT]
func addImage(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 2, "image ID INSTANCE|- [SNAPSHOT]")
	image := openstacktest.Image{ID: args[0], Name: "name-of-" + args[0], Instance: strings.TrimPrefix(args[1], "-")}
	if len(args) == 3 {
		mapping, err := json.Marshal([]any{map[string]any{"source_type": "snapshot", "snapshot_id": args[2], "boot_index": 0}})
		ts.Check(err)
		image.Mapping = string(mapping)
	}
	cloud.Do(func() { cloud.Images = append(cloud.Images, image) })
}

// port ID DEVICE OWNER
func addPort(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 3, "port ID DEVICE OWNER")
	cloud.Do(func() {
		cloud.Ports = append(cloud.Ports, &openstacktest.Port{ID: args[0], Device: args[1], Owner: args[2], Host: "compute1"})
	})
}

// port-of ID DEVICE: the port's device by now; "gone" if it is
func portOf(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 2, "port-of ID DEVICE")
	found := "gone"
	cloud.Do(func() {
		for _, p := range cloud.Ports {
			if p.ID == args[0] {
				found = p.Device
			}
		}
	})
	if found != args[1] {
		ts.Fatalf("port %s is of device %q", args[0], found)
	}
}

// cloud no-cinder|no-neutron|no-glance|no-nova|not-admin|not-admin-of-cinder|sticks VOLUME|lingers ID STATUS|dies UUID|unmaps UUID
func change(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 1, "cloud WHAT [VALUE...]")
	args = append(args, "", "")
	do, ok := map[string]func(){
		"no-cinder": func() { cloud.NoCinder = true }, "no-neutron": func() { cloud.NoNeutron = true },
		"no-glance": func() { cloud.NoGlance = true },
		"no-nova":   func() { cloud.Missing = true }, "not-admin": func() { cloud.NotAdmin = true },
		"not-admin-of-cinder": func() { cloud.NoVolumes = true },
		"sticks":              func() { cloud.Sticks[args[1]] = true }, "lingers": func() { cloud.Linger[args[1]] = args[2] },
		"unmaps": func() {
			server := cloud.Servers[args[1]]
			server.Unmapped = true
			cloud.Servers[args[1]] = server
		},
		"dies": func() { delete(cloud.Servers, args[1]) },
	}[args[0]]
	if !ok {
		ts.Fatalf("cloud: %s?", args[0])
	}
	cloud.Do(do)
}

// status ID STATUS: of a volume or snapshot, "gone" if it is; of an attachment
func status(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 2, "status ID STATUS")
	found := "gone"
	cloud.Do(func() {
		for _, v := range cloud.Volumes {
			if v.ID == args[0] {
				found = v.Status
			}
		}
		for _, s := range cloud.Snapshots {
			if s.ID == args[0] {
				found = s.Status
			}
		}
		for _, a := range cloud.Attachments {
			if a.ID == args[0] {
				found = a.Status
			}
		}
	})
	if found != args[1] {
		ts.Fatalf("%s is %s", args[0], found)
	}
}

// flag UUID VOLUME true|false: delete_on_termination of the server's volume
func flag(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 3, "flag UUID VOLUME true|false")
	found := "not there"
	cloud.Do(func() {
		if flag, ok := cloud.Servers[args[0]].Volumes[args[1]]; ok {
			found = strconv.FormatBool(flag)
		}
	})
	if found != args[2] {
		ts.Fatalf("delete_on_termination of %s is %s", args[1], found)
	}
}

// meanwhile METHOD PATH lives UUID | detached ATTACHMENT | attached ATTACHMENT VOLUME INSTANCE: before the next such request
func meanwhile(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 4, "meanwhile METHOD PATH WHAT VALUE...")
	do, ok := map[string]func(){
		"lives": func() { cloud.Servers[args[3]] = openstacktest.Server{Status: "ACTIVE", Host: "compute1"} },
		"detached": func() {
			for i, a := range cloud.Attachments {
				if a.ID == args[3] {
					cloud.Attachments = append(cloud.Attachments[:i:i], cloud.Attachments[i+1:]...)
				}
			}
			for _, v := range cloud.Volumes {
				v.Status = "available"
			}
		},
		"attached": func() {
			cloud.Attachments = append(cloud.Attachments, &openstacktest.Attachment{ID: args[3], Volume: args[4], Instance: args[5],
				Status: "attached"})
		},
	}[args[2]]
	if !ok {
		ts.Fatalf("meanwhile: %s?", args[2])
	}
	cloud.Fail(openstacktest.Failure{Method: args[0], Path: args[1], Times: 1, Meanwhile: do})
}

// requests N: so many since the last such command
func requests(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	checkRequests(ts, cloud.Requests(), args)
}

// writes N [REGEXP]: so many of the requests would change something, all of them together like this
func writes(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	checkRequests(ts, openstacktest.Writes(cloud.Requests()), args)
}

func checkRequests(ts *testscript.TestScript, got, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if len(got) != want {
		ts.Fatalf("%d requests: %s", len(got), strings.Join(got, ", "))
	}
	if len(args) == 2 && !regexp.MustCompile("^(?:"+args[1]+")$").MatchString(strings.Join(got, ", ")) {
		ts.Fatalf("the requests are %s", strings.Join(got, ", "))
	}
}
