#!/usr/bin/env bash
# Train on several GPUs of one or more machines, or by several processes of a CPU (gloo).
#
#   tools/dist_train.sh CONFIG PROCESSES [arguments of tools/train.py]
#
# On several machines, start it on each with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG PROCESSES [arguments of tools/train.py]" >&2
    exit 2
fi
CONFIG=$1
PROCESSES=$2
TOOLS=$(cd "$(dirname "$0")" && pwd)

# `python -m torch.distributed.run` is torchrun, found also where .venv is not activated.
PYTHON=${PYTHON:-python}
if [ -x "$TOOLS/../.venv/bin/python" ] && [ -z "${VIRTUAL_ENV:-}" ]; then
    PYTHON=$TOOLS/../.venv/bin/python
fi

exec "$PYTHON" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$PROCESSES" \
    "$TOOLS/train.py" "$CONFIG" --launcher pytorch "${@:3}"
