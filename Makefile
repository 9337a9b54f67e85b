# `make check` is what CI runs; `make test` is its longest part.

CARGO ?= cargo
DENY_VERSION = 0.20.2
# Root installs directly, everybody else by sudo.
SUDO = $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: build run cluster faults fmt lint docs tools test test-postgres kill-postgres gates smoke deny deny-tool check

build:
	$(CARGO) build --release

run:
	$(CARGO) run --release

# Three nodes with a PostgreSQL, a Redis and the demo on this machine, until Ctrl-C.
cluster: tools build
	deploy/cluster.sh

# The fault matrix: what is kept of the promises when something dies, lies or stands still. Half an
# hour; FAULTS="zombie --rounds 1" for less. As root also what needs networks of their own.
faults: tools
	$(CARGO) run --release -p usher-loadtest -- faults $(FAULTS)

fmt:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --workspace --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

# What the tests call besides cargo: strace (which system calls precede which), sqlite3 (a second
# opinion on the files), a browser and what drives it, openssl (certificates), PostgreSQL and Redis
# (each test starts a server of its own), and curl for `make cluster`.
tools:
	@missing=""; \
	for tool in curl strace sqlite3 openssl chromium; do \
		command -v $$tool >/dev/null || missing="$$missing $$tool"; \
	done; \
	command -v chromedriver >/dev/null || missing="$$missing chromium-driver"; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$$missing postgresql"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	if [ -n "$$missing" ]; then \
		echo "installing$$missing"; \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -q -y --no-install-recommends $$missing; \
	fi

# The engine's own once more, every enquiry put to rest after each thing it is told.
test: tools
	$(CARGO) test --workspace
	$(CARGO) test -p usher-engine --features rest-at-once

# The services, and the program end to end, once more with their records in PostgreSQL; without what is
# about files. The twenty kills under load take longer than all the rest and are a step of their own.
test-postgres: tools
	USHER_TEST_STORE=postgres $(CARGO) test -p usher-engine
	USHER_TEST_STORE=postgres $(CARGO) test -p usher --test e2e -- --skip disk:: --skip kill:: --skip cluster::

kill-postgres: tools
	USHER_TEST_STORE=postgres $(CARGO) test -p usher --test e2e kill::

# What one message costs in allocations, system calls, syncs and journal bytes, against
# loadtest/gates.toml; of the debug build, which the tests have made anyway.
gates: tools
	$(CARGO) run --quiet -p usher-loadtest -- gates

# The load test in small, within two minutes: that it runs, not how fast.
smoke:
	$(CARGO) run --quiet -p usher-loadtest -- bench smoke

deny-tool:
	@$(CARGO) deny --version 2>/dev/null | grep -qF ' $(DENY_VERSION)' \
		|| $(CARGO) install --locked cargo-deny@$(DENY_VERSION)

# The list of known vulnerabilities is a download of its own and not part of this.
deny: deny-tool
	$(CARGO) fetch --locked
	$(CARGO) deny --offline check licenses bans sources

STEPS = fmt lint docs test test-postgres gates smoke deny
# Where to write how long each step took.
TIMINGS ?= /dev/null

# One after the other, the quick ones first, and none after one that failed.
check:
	@for step in $(STEPS); do \
		begun=$$(date +%s); \
		outcome=0; \
		$(MAKE) --no-print-directory $$step || outcome=$$?; \
		printf '%-6s %d\n' $$step $$(($$(date +%s) - begun)) >> $(TIMINGS); \
		[ $$outcome = 0 ] || exit $$outcome; \
	done
