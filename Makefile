# Copyright The salvor authors.
# SPDX-License-Identifier: Apache-2.0
#
# `make` alone prints what there is. Variables that change what a target does:
#   ROWS=66-105,121   rows of the contract (contract, teeth)
#   NAME=, SAMPLE=n   one mutant; a rotating sample of n (teeth)
#   PKG=./recovery    packages (test-unit, bench)
#   LABELS=           a ginkgo label filter (e2e); KEEP=1 leaves the cluster up
#   REQUIRE_NODE=1    a test that is skipped is a failure

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.SUFFIXES:

GO      ?= go
BIN     := $(CURDIR)/bin
DIST    := $(CURDIR)/dist
CACHE   := $(CURDIR)/.cache
VERSION ?= $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo dev)
IMAGE   ?= salvor.local/salvor
TAG     ?= dev
PKG     ?= ./...
TIMEOUT ?= 10m
E2E_TIMEOUT ?= 20m
SAMPLE  ?= 6

# The version is stamped by -ldflags, so that a build does not depend on a
# repository that git trusts.
# One flavour of every package for binaries, tests and tools alike: static, with
# trimmed paths. A second one would compile the Kubernetes client twice. Only
# the library's tests run with the race detector, which needs cgo.
GOFLAGS := $(strip $(filter-out -buildvcs% -trimpath,$(shell $(GO) env GOFLAGS)) -buildvcs=false -trimpath)
export GOFLAGS
export CGO_ENABLED := 0
export GOWORK := off
export SALVOR_CONTRACT_DIR ?= $(CACHE)/contract/results

# progress WHAT COMMAND...: runs it, and says every ten seconds that it still runs.
PROGRESS = progress() { \
	local what=$$1 from=$$SECONDS said=0 pid; shift; "$$@" & pid=$$!; \
	trap "kill $$pid 2>/dev/null; exit 130" INT TERM; \
	while kill -0 $$pid 2>/dev/null; do \
		if ((SECONDS - from >= said + 10)); then said=$$((SECONDS - from)); echo "building $$what: $${said}s"; fi; \
		sleep 0.2; \
	done; \
	trap - INT TERM; wait $$pid; \
}

STATIC := progress salvor $(GO) build -ldflags "-s -w -X main.version=$(VERSION)"

# What `make tools` found: paths of pinned programs that tests start.
TOOLS_ENV := $(CACHE)/tools.env
WITH_TOOLS = if [ -f $(TOOLS_ENV) ]; then set -a; . $(TOOLS_ENV); set +a; fi

# has DIRECTORY: a step whose subject does not exist yet says so and is not red.
define has
if [ ! -e $(1) ]; then echo "$@: NOT RUN, there is no $(1) in this tree"; exit 0; fi
endef

##@ Try it

.PHONY: help
help: ## Print this.
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z0-9-]*:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## Start a cluster, crash a store in mid-commit and watch it heal (root, about 20 minutes the first time).
	@$(call has,hack/demo)
	$(MAKE) --no-print-directory image cluster-up image-load tools
	$(WITH_TOOLS)
	KUBECONFIG=$$($(BIN)/cluster kubeconfig) $(GO) run ./hack/demo

.PHONY: demo-down
demo-down: cluster-down ## Undo the demo: the cluster ends and the machine is as it was.

##@ Show that it works

TEST_STEPS  := !machine test-vet !tools test-unit test-failpoint test-kubernetes test-hack test-e2e test-teeth
PROVE_STEPS := !machine test-vet !tools test-unit test-failpoint test-kubernetes test-hack test-node prove-e2e prove-teeth

.PHONY: test
test: $(BIN)/steps ## Run everything once, large things sampled (20 minutes; 35 the first time).
	@MAKE="$(MAKE)" $(BIN)/steps -title "make test" -cache $(CACHE) $(TEST_STEPS) </dev/null

.PHONY: prove
prove: export SALVOR_PROVE := 1
prove: export TIMEOUT := 170m
prove: export E2E_TIMEOUT := 170m
prove: $(BIN)/steps ## Run everything in full and write docs/proof.json (3 hours at most).
	@MAKE="$(MAKE)" $(BIN)/steps -title "make prove" -cache $(CACHE) -finally prove-write $(PROVE_STEPS) </dev/null

.PHONY: contract
contract: $(BIN)/contract ## Print the rows of the contract, what proves each, and how many are met. ROWS=, OUTPUT=json.
	@$(BIN)/contract -rows "$(ROWS)" -o $(or $(OUTPUT),text)

.PHONY: explore
explore: export SALVOR_PROVE := 1
explore: ## Every crash, every crash of the recovery that follows, and 200,000 seeds of everything at once; prints the totals (25 minutes).
	@$(GO) test -count=1 -timeout 3h -run '^(TestExplore.*|TestSimulate|TestASeedIsTheSameAgain)$$' -v ./test/sim | grep -vE '^(=== | +--- PASS)'

.PHONY: teeth
teeth: SAMPLE = 0
teeth: $(BIN)/teeth tools ## Plant the bugs of test/teeth, one at a time, and see the tests fail. ROWS=, NAME=, SAMPLE=.
	@$(WITH_TOOLS)
	if $(BIN)/cluster status >/dev/null 2>&1; then export KUBECONFIG=$$($(BIN)/cluster kubeconfig); fi # for mutants that need one
	$(BIN)/teeth -rows "$(ROWS)" -name "$(NAME)" -sample $(SAMPLE)

.PHONY: e2e
e2e: TIMEOUT = 170m
e2e: $(BIN)/gotest $(BIN)/cluster tools ## Run the end-to-end suite on the local cluster (root), or with SALVOR_CLUSTER=kind on kind. LABELS=, KEEP=1.
	@$(call has,test/e2e)
	ls test/e2e/*_test.go >/dev/null 2>&1 || { echo "$@: test/e2e has no suite"; exit 1; }
	if [ "$${SALVOR_CLUSTER:-local}" = local ]; then
		if ! $(BIN)/cluster status >/dev/null 2>&1 && [ -z "$${KEEP:-}" ]; then
			trap '$(BIN)/cluster down' EXIT # what this run started, it ends
		fi
		$(MAKE) --no-print-directory image image-postgres cluster-up image-load
		export KUBECONFIG=$$($(BIN)/cluster kubeconfig)
	else
		$(MAKE) --no-print-directory image image-postgres
	fi
	$(WITH_TOOLS)
	$(BIN)/gotest -step e2e -timeout $(TIMEOUT) -follow -ginkgo-report $(CACHE)/e2e.json ./test/e2e -- \
		-ginkgo.no-color -ginkgo.json-report=$(CACHE)/e2e.json -ginkgo.timeout=$(TIMEOUT) -ginkgo.label-filter='$(LABELS)'

.PHONY: bench
bench: ## Measure the goals beside their yardsticks of the same run (root; 25 minutes). PKG=, BENCH_FLAGS=.
	@$(MAKE) --no-print-directory bench-go bench-cluster

.PHONY: bench-go
bench-go: tools ## The part of bench that needs no cluster. PKG=.
	@$(WITH_TOOLS)
	$(GO) test -run '^$$' -bench . -benchmem -timeout 60m $(PKG)

.PHONY: bench-cluster
bench-cluster: $(BIN)/cluster tools ## The part of bench that needs one: kills under a real kubelet, requests, memory. BENCH_FLAGS=.
	@if ! $(BIN)/cluster status >/dev/null 2>&1; then
		trap '$(BIN)/cluster down' EXIT # what this run started, it ends
	fi
	$(MAKE) --no-print-directory image cluster-up image-load
	$(WITH_TOOLS)
	KUBECONFIG=$$($(BIN)/cluster kubeconfig) $(GO) run ./hack/bench $(BENCH_FLAGS)

.PHONY: bench-store
bench-store: ## Commits beside a checkpoint of 1 GiB, and a batch of 100 with and without the log (10 minutes). DIR=, BENCH_FLAGS=.
	@$(GO) run ./hack/bench -parts checkpoint -dir "$(or $(DIR),$(CACHE))" $(BENCH_FLAGS)
	$(GO) test -run '^$$' -bench BatchOf100 -benchtime 3x ./store

.PHONY: bench-log
bench-log: ## The log beside its peers, in one run and one directory (15 minutes). DIR=, BENCH_FLAGS=.
	@$(GO) -C hack/logbench run . -dir "$(or $(DIR),$(CACHE))" $(BENCH_FLAGS)

##@ Change it

.PHONY: build
build: ## Build bin/salvor, static, and its other name bin/kubectl-salvor.
	@$(call has,cmd/salvor)
	$(PROGRESS)
	$(STATIC) -o $(BIN)/salvor ./cmd/salvor
	ln -sf salvor $(BIN)/kubectl-salvor

.PHONY: image
image: build $(BIN)/cluster ## Pack the images for the local cluster: the product, one with failpoints, the S3 server of the tests and a gateway to it.
	@$(call has,cmd/salvor)
	mkdir -p $(DIST)/failpoint
	$(PROGRESS)
	$(STATIC) -tags failpoint -o $(DIST)/failpoint/salvor ./cmd/salvor
	$(BIN)/cluster image pack --binary $(BIN)/salvor --name $(IMAGE):$(TAG) -o $(DIST)/salvor.tar
	$(BIN)/cluster image pack --binary $(DIST)/failpoint/salvor --name $(IMAGE):failpoint -o $(DIST)/salvor-failpoint.tar
	version=$$(cd hack/tools/versitygw && $(GO) list -m -f '{{.Version}}' github.com/versity/versitygw)
	$(STATIC) -o $(DIST)/s3proxy ./test/e2e/s3proxy
	$(BIN)/cluster image pack --binary $(DIST)/s3proxy --name salvor.local/s3proxy:dev -o $(DIST)/s3proxy.tar
	$(BIN)/cluster image pack --binary $$($(BIN)/cluster tool versitygw) --name salvor.local/versitygw:$${version#v} -o $(DIST)/versitygw.tar

# What PostgreSQL of Debian 12 needs to run; its just-in-time compiler is left out, which needs LLVM.
POSTGRES_PACKAGES := postgresql-15,postgresql-client-15,libpq5,tzdata,libc6,libaudit1,libcap2,libcap-ng0,libcom-err2,libffi8,libgcc-s1,libgcrypt20,libgmp10,libgnutls30,libgpg-error0
POSTGRES_PACKAGES := $(POSTGRES_PACKAGES),libgssapi-krb5-2,libhogweed6,libicu72,libidn2-0,libk5crypto3,libkeyutils1,libkrb5-3,libkrb5support0,libldap-2.5-0,liblz4-1,liblzma5
POSTGRES_PACKAGES := $(POSTGRES_PACKAGES),libnettle8,libp11-kit0,libpam0g,libreadline8,libsasl2-2,libssl3,libstdc++6,libsystemd0,libtasn1-6,libtinfo6,libunistring2,libxml2,libzstd1,zlib1g

.PHONY: image-postgres
image-postgres: $(BIN)/cluster ## Pack PostgreSQL from the packages of Debian 12, for the tests of hooks (60 MB the first time).
	@if ! command -v apt-get >/dev/null || ! grep -q 'VERSION_CODENAME=bookworm' /etc/os-release; then
		echo "$@: NOT RUN, this machine does not run Debian 12, whose packages these are"
		exit 0
	fi
	mkdir -p $(DIST)
	$(BIN)/cluster image pack --debian $(POSTGRES_PACKAGES) --without /usr/lib/postgresql/15/lib/llvmjit.so,/usr/lib/postgresql/15/lib/bitcode --shell \
		--entrypoint /usr/lib/postgresql/15/bin/postgres --name salvor.local/postgres:15 -o $(DIST)/postgres.tar

.PHONY: image-load
image-load: $(BIN)/cluster ## Load the packed images into every node of the local cluster.
	@$(BIN)/cluster image load $(DIST)/salvor.tar $(DIST)/salvor-failpoint.tar $(DIST)/s3proxy.tar $(DIST)/versitygw.tar $$(ls $(DIST)/postgres.tar 2>/dev/null || true)

.PHONY: generate
generate: $(BIN)/cluster ## Generate deep copies, apply configurations and the page of reasons from api/.
	@$(call has,api/v1alpha1)
	gen=$$($(BIN)/cluster tool controller-gen)
	$$gen object:headerFile=hack/boilerplate.go.txt applyconfiguration:headerFile=hack/boilerplate.go.txt paths=./api/...
	UPDATE=1 $(GO) test -count=1 -run '^TestPageOfReasonsIsCurrent$$' ./test/house >/dev/null

.PHONY: manifests
manifests: $(BIN)/cluster ## Generate the resource definitions and the operator's role in config/.
	@$(call has,config/crd)
	gen=$$($(BIN)/cluster tool controller-gen)
	$$gen crd paths=./api/... output:crd:dir=config/crd/bases
	# The generator's version is no part of a definition: a new pin would change every cluster's.
	sed -i -e '/^  annotations:$$/{N;/controller-gen.kubebuilder.io\/version/d}' config/crd/bases/*.yaml
	if grep -qrs --include='*.go' '+kubebuilder:rbac' controllers; then
		$$gen rbac:roleName=salvor-operator paths=./controllers/... output:rbac:dir=config/rbac/operator
	fi

.PHONY: install-manifest
install-manifest: $(BIN)/cluster ## Write dist/install.yaml: everything that `kubectl apply -f` needs to install the operator.
	@$(call has,config/default)
	mkdir -p $(DIST)
	$$($(BIN)/cluster tool kubectl) kustomize config/default | sed 's#salvor.local/salvor:dev#$(IMAGE):$(TAG)#' >$(DIST)/install.yaml
	echo $(DIST)/install.yaml

GENERATED := api config/crd/bases config/rbac/operator docs/reasons.md

.PHONY: verify
verify: ## Check that what is generated is up to date, files are formatted and modules are tidy.
	@sum() { find $(GENERATED) -type f -print0 2>/dev/null | sort -z | xargs -0r sha256sum; }
	before=$$(sum)
	$(MAKE) --no-print-directory generate manifests
	if [ "$$before" != "$$(sum)" ]; then
		diff <(echo "$$before") <(sum) || true
		echo "verify: what is generated was out of date; it is generated again now: commit it"; exit 1
	fi
	unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs -r ls 2>/dev/null | xargs -r gofmt -l)
	if [ -n "$$unformatted" ]; then echo "verify: not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	for mod in $$(git ls-files '*go.mod'); do
		(cd $$(dirname $$mod) && $(GO) mod tidy -diff >/dev/null) || { echo "verify: $$mod is not tidy: run go mod tidy there"; exit 1; }
	done
	echo "verify: generated files, formatting and modules are as they should be"

.PHONY: lint
lint: $(BIN)/cluster ## Run golangci-lint, as pinned in hack/tools.
	@$$($(BIN)/cluster tool golangci-lint) run $(PKG)

##@ A cluster on this machine

.PHONY: cluster-up
cluster-up: machine ## Start the local one-node cluster (root; 10 minutes the first time, 20 seconds later) and print its kubeconfig.
	@$(call has,hack/cluster)
	$(BIN)/cluster up

.PHONY: cluster-down
cluster-down: $(BIN)/cluster ## End the local cluster and give the machine back as it was.
	@$(BIN)/cluster down

##@ Steps of the above, each of which can be run by itself

.PHONY: machine
machine: $(BIN)/cluster ## Check what this machine lacks, and install it where that is a package.
	@$(call has,hack/cluster)
	$(BIN)/cluster status >/dev/null 2>&1 || $(BIN)/cluster doctor --fix

.PHONY: tools
tools: $(BIN)/cluster ## Build the pinned programs that tests start: an API server with etcd, and an S3 server.
	@$(call has,hack/cluster)
	mkdir -p $(CACHE)
	assets=$$($(BIN)/cluster envtest-assets $(BIN)/envtest)
	{
		echo "KUBEBUILDER_ASSETS=$$assets"
		echo "KUBECTL=$$($(BIN)/cluster tool kubectl)"
		echo "SALVOR_VERSITYGW=$$($(BIN)/cluster tool versitygw)"
		echo "SALVOR_CLUSTER_PROGRAM=$(BIN)/cluster"
	} >$(TOOLS_ENV).tmp
	mv $(TOOLS_ENV).tmp $(TOOLS_ENV)

.PHONY: test-vet
test-vet: ## go vet, with and without failpoints, and of the modules under hack/.
	@$(GO) vet ./...
	$(GO) vet -tags failpoint ./...
	$(GO) vet -tags emulators ./objstore/...
	if [ -d hack/cluster ]; then $(GO) -C hack/cluster vet ./...; fi

.PHONY: test-unit
test-unit: $(BIN)/gotest ## Tests of the library, with the race detector, on a real S3 server too. PKG=.
	@$(WITH_TOOLS)
	# The race detector wakes goroutines in random order, and test/sim wants the same order each time.
	packages=$$($(GO) list $(PKG))
	if raced=$$(grep -v '/test/sim$$' <<<"$$packages"); then
		CGO_ENABLED=1 $(BIN)/gotest -step unit -only library -race -timeout $(TIMEOUT) $$raced
	fi
	if sim=$$(grep '/test/sim$$' <<<"$$packages"); then
		$(BIN)/gotest -step sim -timeout $(TIMEOUT) $$sim
	fi

.PHONY: test-failpoint
test-failpoint: $(BIN)/gotest ## Tests that exist only in builds with failpoints.
	@$(WITH_TOOLS)
	$(BIN)/gotest -step failpoint -only tagged -tags failpoint -timeout $(TIMEOUT) $$($(GO) list ./... | grep -v /test/e2e)

.PHONY: test-kubernetes
test-kubernetes: $(BIN)/gotest ## Tests of what knows Kubernetes, on a real API server.
	@$(WITH_TOOLS)
	$(BIN)/gotest -step kubernetes -only kubernetes -timeout $(TIMEOUT) $$($(GO) list ./... | grep -v /test/e2e)

.PHONY: test-emulators
test-emulators: $(BIN)/gotest $(BIN)/cluster ## The acceptance suite on fake-gcs-server and, where npm is, on Azurite.
	@$(PROGRESS)
	export SALVOR_FAKE_GCS_SERVER=$$($(BIN)/cluster tool fake-gcs-server)
	version=$$(cd hack/tools/fake-gcs-server && $(GO) list -m -f '{{.Version}}' github.com/fsouza/fake-gcs-server)
	ran="./objstore/gcs against fake-gcs-server $$version"
	if command -v npm >/dev/null; then
		dir=$(CACHE)/azurite lock=hack/tools/azurite/package-lock.json
		if ! cmp -s $$lock $$dir/installed; then
			mkdir -p $$dir
			cp hack/tools/azurite/package*.json $$dir
			progress Azurite npm ci --prefix $$dir --ignore-scripts --no-audit --no-fund --loglevel=error
			cp $$lock $$dir/installed
		fi
		export SALVOR_AZURITE=$$dir/node_modules/.bin/azurite-blob
		ran="$$ran; ./objstore/azblob against Azurite $$(sed -n 's/.*"azurite": "\(.*\)".*/\1/p' hack/tools/azurite/package.json)"
	else
		ran="$$ran; ./objstore/azblob NOT RUN: there is no npm, which Azurite comes by"
	fi
	# What only some machines can run is no part of the contract.
	SALVOR_CONTRACT_DIR= $(BIN)/gotest -step emulators -only tagged -tags emulators -timeout $(TIMEOUT) ./objstore/...
	echo "$@: $$ran"

.PHONY: test-hack
test-hack: $(BIN)/gotest ## Tests of the local cluster's own code, without starting one.
	@$(call has,hack/cluster)
	cd hack/cluster && SALVOR_CONTRACT_DIR= $(BIN)/gotest -step hack -timeout $(TIMEOUT) ./...

.PHONY: test-node
test-node: $(BIN)/gotest machine ## Tests that start local clusters in name spaces of their own (root).
	@$(call has,hack/cluster/test)
	cd hack/cluster && SALVOR_CONTRACT_DIR= $(BIN)/gotest -step node -only tagged -tags cluster -timeout $(TIMEOUT) -follow ./...

.PHONY: test-e2e
test-e2e: ## The end-to-end suite without what is labelled "prove".
	@$(MAKE) --no-print-directory e2e LABELS='!prove' TIMEOUT=$(E2E_TIMEOUT)

.PHONY: test-teeth
test-teeth: $(BIN)/teeth ## A rotating sample of the mutants.
	@ls test/teeth/*.patch >/dev/null 2>&1 || { echo "$@: NOT RUN, test/teeth has no patch"; exit 0; }
	$(WITH_TOOLS)
	$(BIN)/teeth -sample $(SAMPLE)

.PHONY: prove-e2e
prove-e2e:
	@$(MAKE) --no-print-directory e2e LABELS=

.PHONY: prove-teeth
prove-teeth: $(BIN)/teeth $(BIN)/cluster tools
	@if ! $(BIN)/cluster status >/dev/null 2>&1; then
		trap '$(BIN)/cluster down' EXIT
		$(MAKE) --no-print-directory cluster-up
	fi
	export KUBECONFIG=$$($(BIN)/cluster kubeconfig)
	$(WITH_TOOLS)
	$(BIN)/teeth -unseen

.PHONY: prove-write
prove-write: $(BIN)/contract
	@$(BIN)/contract -prove -seconds "$${SALVOR_STEPS_SECONDS:-0}" >$(CACHE)/contract.txt || [ $$? -eq 1 ]
	tail -1 $(CACHE)/contract.txt

# The tools of this file. go build itself knows when there is nothing to do.
.PHONY: FORCE
FORCE:

$(BIN)/contract: FORCE
	@$(GO) build -o $@ ./hack/contract

$(BIN)/gotest $(BIN)/steps: $(BIN)/%: FORCE
	@$(GO) build -o $@ ./hack/contract/$*

$(BIN)/teeth: FORCE
	@$(GO) build -o $@ ./hack/teeth

$(BIN)/cluster: FORCE
	@if [ -d hack/cluster ]; then
		$(PROGRESS)
		progress bin/cluster $(GO) -C hack/cluster build -o $@ .
	fi
