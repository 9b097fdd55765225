# Glidepath. A bare `make` prints what there is.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS   += --no-print-directory

# Go from the PATH, or Debian's from backports; either fetches the toolchain that go.mod names.
GO ?= $(shell command -v go || echo /usr/lib/go-1.23/bin/go)
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
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the programs into bin/
	@$(ENSURE) go
	@mkdir -p bin
	@for d in $(BINS); do $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./$$d; done
	@ls -1 bin

# The packages, and the programs in each. The time of what is in them is that of the commit, so that the same commit gives the same bytes.
PACKAGES              ?= glidepath-agent glidepath-coordinator
glidepath-agent       := agent/cmd/glidepath-agent
glidepath-coordinator := coordinator/cmd/glidepathd coordinator/cmd/glidepath
MAYRUN                := agent/cmd/may-run
ARCH                  := $(shell $(GO) env GOARCH)
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)

.PHONY: deb
deb: ## build the Debian packages into dist/
	@$(ENSURE) go
	@mkdir -p bin dist/man
	@packaging/changelog.sh $(VERSION) >dist/changelog.yaml
	@$(GO) build -trimpath -ldflags '-s -w' -o bin/ ./$(MAYRUN)
	@for d in $(foreach p,$(PACKAGES),$($(p))); do \
		$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./$$d; \
		man=dist/man/$$(basename $$d); rm -rf $$man; mkdir -p $$man; \
		bin/$$(basename $$d) man $$man; \
		gzip -9n $$man/*; \
	done
	@for p in $(PACKAGES); do \
		VERSION=$(VERSION) ARCH=$(ARCH) $(TOOL) nfpm package --packager deb --config packaging/$${p#glidepath-}/nfpm.yaml --target dist/; \
	done

.PHONY: check
check: ## the inner loop: vet, the rules of the house, unit tests
	@$(ENSURE) go
	$(GO) vet ./...
	$(GO) test -short ./...

.PHONY: lint
lint: ## golangci-lint, and gofmt
	@$(ENSURE) go
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(TOOL) golangci-lint run --allow-parallel-runners ./...

.PHONY: race
race: ## unit tests under the race detector
	@$(ENSURE) go host
	CGO_ENABLED=1 $(GO) test -short -race ./...

# Packages with tests on real guests.
GUESTS := ./testenv/vm ./agent ./agent/enforce ./agent/instance/service ./testenv/scenarios

.PHONY: guests
guests: deb ## the tests on real guests, one fleet at a time (root, apt)
	@$(ENSURE) go vm host
	$(GO) test -p 1 -timeout 60m $(GUESTS)

.PHONY: demo
demo: deb ## the main job on two real hosts, from the packages (root, apt); KEEP=1 leaves the fleet up
	@$(ENSURE) go vm host
	@$(GO) build -trimpath -o bin/ ./testenv/demo/cmd/glidepath-demo
	@$(CURDIR)/bin/glidepath-demo -version $(VERSION) $(if $(KEEP),-keep)

# Without guests their figures are skipped, with the reason.
.PHONY: bench
bench: deb ## figures beside their peers, and their bars; FIGURES=forecast,ledger for some, JSON=1 for JSON (guests: root, apt)
	@$(ENSURE) go
	@case "$(or $(FIGURES),silence)" in *agent*|*silence*) $(ENSURE) vm host >&2 || true ;; esac
	@$(GO) run ./testenv/bench/cmd/glidepath-bench -go '$(GO)' $(if $(FIGURES),-figures '$(FIGURES)') $(if $(JSON),-json)

.PHONY: e2e
e2e: deb ## a live Redis moves between two real hosts, through faults of all kinds (root, apt)
	@$(ENSURE) go vm host
	$(GO) test -v -timeout 45m ./testenv/scenarios

.PHONY: test
test: lint race ## all that must hold: lint, unit tests under the race detector, elections, end to end
	$(GO) vet ./...
	$(GO) test ./coordinator
	@$(MAKE) e2e

.PHONY: fmt
fmt: ## format the source
	gofmt -w $$(git ls-files '*.go')

.PHONY: clean
clean: ## remove what was built here (the image cache stays; see docs/quickstart.md)
	rm -rf bin dist
