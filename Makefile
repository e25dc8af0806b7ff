# Thin on purpose: what a target does is in deploy/. Two commands matter: `make demo` and `make test`.

.PHONY: help setup build images demo test lint stop drills simulate soak fuzz

help:
	@echo "make demo      set up, build, start a cluster, run real containers on it, kill its leader, check, stop"
	@echo "make test      set up, build, run every test"
	@echo "make drills    every drill in full size, judged on time as well  (ROUNDS=3)"
	@echo "make simulate  seeds of the simulation, each one a whole cluster  (SEEDS=10000)"
	@echo "make soak      a mixed load for a long time: memory, disk and handles stay flat  (MINUTES=30)"
	@echo "make fuzz      every fuzzer for so many seconds  (SECONDS=600)"
	@echo "make setup     install what is missing (needs root when something is)"
	@echo "make build     build the cloudai binary and the drivers of the demo and the tests"
	@echo "make images    build the sample images"
	@echo "make lint      formatting, lints, the project's own rules"
	@echo "make stop      stop a demo's cluster that was left behind (a killed make)"

setup:
	@deploy/setup.sh

build: setup
	@deploy/build.sh

images: setup
	@deploy/with-engine.sh sample-tasks/build.sh

demo: build
	@deploy/with-engine.sh deploy/demo.sh $(DEMO_FLAGS)

test: build
	@deploy/with-engine.sh deploy/test.sh

drills: build
	@deploy/with-engine.sh deploy/drills.sh --rounds $(or $(ROUNDS),3)

simulate: build
	@deploy/simulate.sh $(or $(SEEDS),10000)

soak: build
	@deploy/soak.sh $(or $(MINUTES),30)

fuzz: setup
	@deploy/fuzz.sh $(or $(SECONDS),600)

lint: setup
	@deploy/lint.sh

stop:
	@deploy/demo.sh --stop
