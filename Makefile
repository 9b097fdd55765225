# Glidepath. A bare `make` prints what there is.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS   += --no-print-directory

# Go from the PATH, or Debian's from backports, which is in none; either fetches the toolchain that go.mod names.
GO ?= go
export PATH := $(PATH):/usr/lib/go-1.23/bin
export GOTOOLCHAIN = auto
export CGO_ENABLED = 0

TOOL    := $(GO) tool -modfile=internal/tools/go.mod
ENSURE  := internal/tools/ensure.sh
VERSION := $(shell cat VERSION)
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
BINS    := $(wildcard agent/cmd/* coordinator/cmd/*)

.PHONY: help
help: ## print this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the programs into bin/
	@$(ENSURE) go
	@mkdir -p bin
	@for d in $(BINS); do $(GOBUILD) -ldflags '$(LDFLAGS)' -o bin/ ./$$d; done
	@ls -1 bin

# The packages, and the programs in each. The time of what is in them is that of the commit, so that the same commit gives the same bytes.
PACKAGES              ?= glidepath-agent glidepath-coordinator
glidepath-agent       := agent/cmd/glidepath-agent
glidepath-coordinator := coordinator/cmd/glidepathd coordinator/cmd/glidepath
HELPERS               := agent/cmd/may-run agent/cmd/sync
# Asked once, and only by what needs it: there may be no Go yet.
ARCH                   = $(eval ARCH := $$(shell PATH='$$(PATH)' $$(GO) env GOARCH))$(ARCH)
NEXT                  := $(VERSION)+next
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
# What the repository is like around the sources says nothing about the programs: the commit is named.
GOBUILD := $(GO) build -trimpath -buildvcs=false

# nfpm makes packages of one kind, all at once: $(call nfpm,PACKAGES,KIND,FOLDER OF THE PROGRAMS,VERSION,FOLDER)
define nfpm
	@pids=""; for p in $(1); do \
		BIN=$(3) VERSION=$(4) ARCH=$(ARCH) $(TOOL) nfpm package --packager $(2) --config packaging/$${p#glidepath-}/nfpm.yaml --target $(5)/ & pids="$$pids $$!"; \
	done; for pid in $$pids; do wait $$pid; done
endef

# What packages of all kinds bring: programs, their manual pages and the completions of shells.
.PHONY: content
content:
	@$(ENSURE) go
	@mkdir -p bin dist/man dist/completions/bash dist/completions/zsh dist/completions/fish
	@packaging/changelog.sh $(VERSION) >dist/changelog.yaml
	@$(GOBUILD) -ldflags '-s -w' -o bin/ $(HELPERS:%=./%)
	@for d in $(foreach p,$(PACKAGES),$($(p))); do \
		$(GOBUILD) -ldflags '$(LDFLAGS)' -o bin/ ./$$d; \
		name=$$(basename $$d); man=dist/man/$$name; rm -rf $$man; mkdir -p $$man; \
		bin/$$name man $$man; \
		gzip -9n $$man/*; \
		bin/$$name completion bash >dist/completions/bash/$$name; \
		bin/$$name completion zsh >dist/completions/zsh/_$$name; \
		bin/$$name completion fish >dist/completions/fish/$$name.fish; \
	done

.PHONY: deb
deb: content ## build the Debian packages into dist/
	$(call nfpm,$(PACKAGES),deb,bin,$(VERSION),dist)

.PHONY: rpm
rpm: content ## build the RPM packages into dist/
	$(call nfpm,$(PACKAGES),rpm,bin,$(VERSION),dist)

# A later version of all packages, for the tests of upgrades.
.PHONY: next
next: content
	@mkdir -p dist/next
	@for d in $(foreach p,$(PACKAGES),$($(p))); do \
		$(GOBUILD) -ldflags '-s -w -X main.version=$(NEXT) -X main.commit=$(COMMIT)' -o dist/next/ ./$$d; \
	done
	@cp bin/may-run bin/sync dist/next/
	$(call nfpm,$(PACKAGES),deb,dist/next,$(NEXT),dist/next)
	$(call nfpm,$(PACKAGES),rpm,dist/next,$(NEXT),dist/next)

.PHONY: lint-packages
lint-packages: deb rpm ## lintian and rpmlint, and whether packages of both kinds bring the same (apt)
	@$(ENSURE) packages
	@packaging/check.sh dist

.PHONY: reproducible
reproducible: ## build the packages of the last commit twice, elsewhere and otherwise, and compare their bytes
	@$(ENSURE) go
	@packaging/reproducible.sh

.PHONY: check
check: ## the inner loop: vet, the rules of the house, unit tests
	@$(ENSURE) go
	$(GO) vet ./...
	$(GO) test -short ./...

.PHONY: lint
lint: ## golangci-lint, with vet, and gofmt
	@$(ENSURE) go
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(TOOL) golangci-lint run --allow-parallel-runners ./...

# Packages without goroutines, as internal/archtest sees to: the race detector has nothing to find there, and they compute most.
SINGLE := internal/archtest internal/resource internal/timeline agent/demand agent/pilot agent/enforce/limit \
	coordinator/forecast coordinator/forecast/common coordinator/forecast/pattern coordinator/forecast/scorecard coordinator/ledger coordinator/planner \
	coordinator/replan coordinator/tasks internal/heatstrip testenv/bench/packing testenv/patterns testenv/traces

.PHONY: race
race: ## unit tests, under the race detector but for what has no goroutines
	@$(ENSURE) go host packages
	@# Each process would wait a second at its end for what still runs, and the tests start hundreds. Some packages mostly wait: four at once.
	CGO_ENABLED=1 GORACE=atexit_sleep_ms=0 $(GO) test -vet=off -short -race -p 4 $$($(GO) list ./... | grep -vxF "$$(printf 'github.com/glidepath/glidepath/%s\n' $(SINGLE))")
	$(GO) test -vet=off -short $(SINGLE:%=./%)

# Packages with tests on real guests.
GUESTS := ./testenv/vm ./agent ./agent/collect ./agent/enforce ./agent/instance/service ./testenv/scenarios

.PHONY: guests
guests: deb rpm next reproducible peers ## all that make test leaves out: the tests on real guests, one fleet at a time, make reproducible and make peers (root, apt)
	@$(ENSURE) go vm host
	GLIDEPATH_FURTHER=1 $(GO) test -run DiskIsFull ./coordinator
	GLIDEPATH_FURTHER=1 $(GO) test -p 1 -timeout 90m $(GUESTS)

# What is tested against others' programs: servers of this machine, and a module that only testenv/bench/vpa has.
.PHONY: peers
peers: ## the clients of testenv/load at a real Redis and PostgreSQL, and the peer that allocations are compared with (apt)
	@$(ENSURE) go servers
	$(GO) test ./testenv/load
	$(GO) test -C testenv/bench/vpa .

# PACKAGE/NAME of each fuzzer.
FUZZERS   = git grep -o '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go' | sed 's|/[^/]*:func |/|' | grep -e '$(or $(FUZZ),.)'
FUZZTIME ?= 10s

.PHONY: fuzz
fuzz: ## each fuzzer for ten seconds, one after the other: FUZZTIME=1m for longer, FUZZ=proto/FuzzHello for those whose package and name match
	@$(ENSURE) go
	@trap 'exit 130' INT; all=$$($(FUZZERS)) || { echo "no fuzzer matches $(FUZZ)" >&2; exit 1; }; found=""; for f in $$all; do \
		echo "$$f"; \
		$(GO) test -run '^$$' -fuzz "^$${f##*/}$$" -fuzztime $(FUZZTIME) "./$${f%/*}" || found="$$found $$f"; \
	done; [ -z "$$found" ] || { echo "What these found is beside them in testdata/fuzz:$$found" >&2; exit 1; }

.PHONY: demo
demo: deb ## the main job on two real hosts, from the packages (root, apt); KEEP=1 leaves the fleet up
	@$(ENSURE) go vm
	@$(GO) build -trimpath -o bin/ ./testenv/demo/cmd/glidepath-demo
	@$(CURDIR)/bin/glidepath-demo -version $(VERSION) $(if $(KEEP),-keep)

# Without guests their figures are skipped, with the reason.
.PHONY: bench
bench: deb ## figures beside their peers, and their bars; FIGURES=forecast,ledger for some, DATA=DIR for what is measured on published series, JSON=1 for JSON (guests: root, apt)
	@$(ENSURE) go
	@case "$(or $(FIGURES),silence)" in *agent*|*silence*) $(ENSURE) vm >&2 || true ;; esac
	@$(GO) run ./testenv/bench/cmd/glidepath-bench -go '$(GO)' $(if $(FIGURES),-figures '$(FIGURES)') $(if $(DATA),-data '$(DATA)') \
		$(if $(SAMPLE),-sample '$(SAMPLE)') $(if $(REST),-rest) $(if $(HOLDOUT),-holdout) $(if $(JSON),-json)

.PHONY: coordinators
coordinators: ## whole coordinators on loopback elect, follow and come back, in real time
	@$(ENSURE) go
	$(GO) test -vet=off -parallel 4 ./coordinator # they mostly wait

.PHONY: e2e
e2e: deb ## a live Redis moves between two real hosts, through faults of all kinds (root, apt)
	@$(ENSURE) go vm
	$(GO) test -vet=off -v -timeout 70m ./testenv/scenarios

.PHONY: test
test: ## what every change must pass: lint, unit tests under the race detector, whole coordinators, packages, end to end
	@for stage in lint race coordinators 'lint-packages e2e'; do \
		echo "$$(date -u +%T) make $$stage"; SECONDS=0; \
		$(MAKE) $$stage; \
		echo "$$(date -u +%T) make $$stage took $$((SECONDS / 60)) min $$((SECONDS % 60)) s"; \
	done

# Packages with tests that hold a file of docs/, or what was trained, to the code, and write it anew with -update. One at a time: some share a file.
GENERATED := ./coordinator/api ./coordinator/metrics ./coordinator/cmd/glidepath ./coordinator/cmd/glidepathd ./agent ./agent/cmd/glidepath-agent ./docs ./testenv/patterns

.PHONY: generate
generate: ## write what is made from the code anew: docs/openapi.json, docs/reference, the tables of docs/metrics.md and of who may, what patterns of demand are told by
	@$(ENSURE) go
	$(GO) test -short -run IsMadeFrom ./coordinator/api -update # first: programs have its document in them
	$(GO) test -p 1 -short -run 'IsMadeFrom|EveryMetricIsListed' $(GENERATED) -update

.PHONY: fmt
fmt: ## format the source
	gofmt -w $$(git ls-files '*.go')

.PHONY: clean
clean: ## remove what was built here, and the demo's reports (the image cache stays, in ~/.cache/glidepath)
	rm -rf bin dist glidepath-demo-report.*
