# Everything one does in a checkout. Each target installs what it needs first, and nothing when nothing is missing.
# Pass options on with ARGS: `make run ARGS=--help`, `make test ARGS="-k fingerprint"`.
# Another port for a second checkout: `MUSICFP_API_PORT=8001 MUSICFP_DAGSTER_PORT=3001 MUSICFP_S3_PORT=8334 make run`.

export PATH := $(CURDIR)/.venv/bin:$(PATH)
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test check fmt bench eval eval-full eval-features lock

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

run: ## start everything; on an empty catalogue ingest the demo songs
	@scripts/bootstrap.sh run
	@exec musicfp up --demo $(ARGS)

test: ## make check, then the whole test suite
	@scripts/bootstrap.sh test
	@$(MAKE) --no-print-directory check
	pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)

check: ## format, lint, types, and files that must match the code they are made from
	@scripts/bootstrap.sh check
	ruff format --check
	ruff check
	mypy
	pytest -q -m sync

fmt: ## format and repair what ruff can
	@scripts/bootstrap.sh check
	ruff format
	ruff check --fix

bench: ## costs of orchestration, of comparing, and of search at 1,000 to 100,000 tracks; half an hour; ARGS="--tracks 1000000 --no-table"
	@scripts/bootstrap.sh test
	python -m bench.orchestration
	python -m bench.growth
	python -m bench.compare
	python -m bench.search $(ARGS)

eval: ## how well music is recognised, on an hour or two of it; needs ../shared/corpus, or ARGS="--music FOLDER"
	@scripts/bootstrap.sh check
	python -m eval $(ARGS)

eval-full: ## with other recognisers beside on six hours of music; strangers and deduplication on 37; a night the first time
	@scripts/bootstrap.sh check
	python -m eval --set dev --peers --json build/eval/results-dev.json
	python -m eval --set full --strangers-only --sources 300 --conditions clean mp3_32k pink_5 phone reverb_0.8 \
	  --json build/eval/strangers.json
	python -m eval.dedupe

eval-features: ## how right tempo, meter, key and loudness are, on music rendered for it; ARGS="--peers --mistakes"
	@scripts/bootstrap.sh check
	python -m eval.features $(ARGS)

lock: ## make requirements*.txt anew from requirements*.in; ARGS=--upgrade takes newer versions
	@scripts/bootstrap.sh check
	scripts/lock.sh $(ARGS)
