#!/usr/bin/env bash
# Makes requirements.txt and requirements-dev.txt from their .in files: exact versions with the hashes of every platform's
# files. Versions that are locked already stay; `scripts/lock.sh --upgrade` takes the newest, `--upgrade-package NAME` one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

compile() {
    local input=$1 output=$2
    shift 2
    # --universal: one file for Linux and macOS and for each supported Python. No index may be written into the file.
    # --no-strip-extras: Debian 12's pip 23.0 takes gql[requests] for unpinned when the file only says gql.
    .venv/bin/uv pip compile --quiet --no-config --system-certs --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-strip-extras --no-emit-index-url --no-emit-find-links "$@" "$input" -o "$output"
}

compile requirements.in requirements.txt "$@"
compile requirements-dev.in requirements-dev.txt --constraints requirements.txt "$@"
