# Everything runs on the Node of package.json, which npm fetches: only npm and make must be there beforehand.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
SHELL := /bin/bash

.PHONY: demo test cluster check format lint types rooms unused generated build bench fuzz packages clean

demo: build
	@node dist/sidewarden.mjs demo $(ARGS)

test: build packages
	@node e2e/cluster/prepare.ts
	@node e2e/test.ts $(ARGS)

# A Kubernetes of one node to try things in by hand, until Ctrl-C.
cluster: build packages
	@node e2e/cluster/main.ts

check: format lint types rooms unused generated

format: node_modules
	prettier --check .

lint: node_modules
	eslint --max-warnings=0 --cache --cache-location .cache/eslint .

types: node_modules
	tsc --noEmit -p .

# Who may import whom.
rooms: node_modules
	npm run --silent rooms

unused: node_modules
	npm run --silent unused

# What is generated is generated again and compared.
generated: node_modules
	npm run --silent crds
	npm run --silent webhooks
	git diff --exit-code -- 'crds/*.yaml' 'charts/sidewarden/files/*'

build: node_modules
	@node build.ts

bench: build
	node bench/main.ts $(ARGS)

# Property and fuzz tests for longer: ARGS="TIMES [PART OF A PATH]..."
fuzz: build
	node e2e/fuzz.ts $(ARGS)

# PostgreSQL's client programs and the like, for the tests that run them unchanged.
packages: node_modules
	@node e2e/packages.ts

node_modules: package.json package-lock.json
	@npm ci --no-audit --no-fund --loglevel=error
	@touch node_modules

clean:
	rm -rf dist node_modules .cache
