# Every command does its own set-up; the work is in scripts/. Variables: WORKERS, PROFILE, API_PORT, WORKER_PORT, PG_PORT, REDIS_PORT.
.PHONY: help demo up down test load chaos contract fuzz lint bench eval-retrieval
.NOTPARALLEL:

help:
	@echo 'make demo           start everything, load sample documents, ask a question, leave it running'
	@echo 'make up WORKERS=2   start (or adjust) Postgres, Redis, the api and two workers'
	@echo 'make down           stop what make up or make test started'
	@echo 'make test           run every test'
	@echo 'make load           a short load with a report (SCENARIO=steady PROFILE=release ARGS="--rate 50 --duration 2m")'
	@echo 'make chaos          5 000 messages while every process and server crashes (CHAOS_MESSAGES, CHAOS_RATE, CHAOS_SEED)'
	@echo 'make contract       Schemathesis against the running api (MINUTES=20)'
	@echo 'make fuzz           every fuzz target for a minute (SECONDS=60)'
	@echo 'make lint           rustfmt, clippy, shellcheck'
	@echo 'make bench          what the queue carries and the api accepts, with BullMQ and pgbench beside it (ARGS="embed index tenants trickle": the engines)'
	@echo 'make eval-retrieval what searches find of public question sets, by configuration (ARGS="--questions 300")'

demo up down lint:
	@scripts/$@

test:
	@scripts/test $(ARGS)

load:
	@scripts/load $(or $(SCENARIO),short) $(ARGS)

# The same test that `make test` runs in a bounded form; it prints what it does and a table at the end.
chaos:
	@CHAOS_MESSAGES=$${CHAOS_MESSAGES:-5000} scripts/test --profile chaos --no-capture -E 'test(/^chaos::/)'

contract:
	@CONTRACT_MINUTES=$(or $(MINUTES),20) scripts/test --profile contract --no-capture -E 'test(/^contract::/)'

fuzz:
	@FUZZ_SECONDS=$(or $(SECONDS),60) scripts/fuzz

bench:
	@scripts/bench $(ARGS)

eval-retrieval:
	@scripts/eval-retrieval $(ARGS)
