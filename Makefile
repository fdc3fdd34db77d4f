# Every command does its own set-up; the work is in scripts/. Variables: WORKERS, API_PORT, WORKER_PORT, PG_PORT, REDIS_PORT.
.PHONY: help demo up down test lint bench
.NOTPARALLEL:

help:
	@echo 'make demo           start everything, load sample documents, ask a question, leave it running'
	@echo 'make up WORKERS=2   start (or adjust) Postgres, Redis, the api and two workers'
	@echo 'make down           stop what make up or make test started'
	@echo 'make test           run every test'
	@echo 'make lint           rustfmt, clippy, shellcheck'
	@echo 'make bench          what the queue carries, with BullMQ and pgbench beside it'

demo up down lint:
	@scripts/$@

test:
	@scripts/test $(ARGS)

bench:
	@scripts/bench $(ARGS)
