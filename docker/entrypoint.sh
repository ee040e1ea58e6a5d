#!/bin/sh
# What the container runs: the server, with its number of workers as the first argument, or any other command by its name.
#
#   docker run IMAGE [WORKERS] [OPTION...]     bert-serving-start
#   docker run IMAGE COMMAND [ARGUMENT...]     that command, bert-serving-http for instance
#
# It ends in exec, so that the server gets the signals and its exit code is the container's.
set -eu

# The server reads its options from the environment too, and an argument wins: so none has to be looked for here. What is
# mounted there but holds no model is the server's to refuse: Docker makes an empty folder of a path that is mistyped.
# Other commands are not told of it: bert-serving-benchmark may be to make a model of its own, and refuses two.
serve() {
  if [ -e /model ] && [ -z "${BERT_SERVING_MODEL_DIR:-}" ]; then
    export BERT_SERVING_MODEL_DIR=/model
  fi
  exec bert-serving-start "$@"
}

if [ $# -eq 0 ]; then
  serve
fi
case $1 in
  -*)
    serve "$@"
    ;;
  bert-serving-start)
    shift
    serve "$@"
    ;;
  '' | *[!0-9]*)
    if command -v "$1" >/dev/null 2>&1; then
      exec "$@"
    fi
    echo "docker-entrypoint: error: expected a number of workers, an option of bert-serving-start (-help shows them) or a" \
      "command such as bert-serving-http; got '$1'" >&2
    exit 2
    ;;
  *)
    workers=$1
    shift
    serve -num_worker "$workers" "$@"
    ;;
esac
