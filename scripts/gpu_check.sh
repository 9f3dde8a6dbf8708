#!/bin/sh
# Check the package on a GPU, in at most six minutes, on a machine with torch and without a network:
#
#     scripts/gpu_check.sh --pack                     where the package is installed: copy what it imports to build/gpu_check (40 MB)
#     scripts/gpu_check.sh [--device cuda] [--out FOLDER]    on the machine with the GPU, in a copy of the repository
#
# XW_DEVICE=cpu, or --device cpu, runs the same on the CPU. What each part found is in FOLDER/gpu_check.json and
# FOLDER/performance_gpu.md as soon as the part ends; the page can be committed as docs/performance_gpu.md.
set -eu
cd "$(dirname "$0")/.."
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    [ -x .venv/bin/python ] && PYTHON=.venv/bin/python
fi
exec "$PYTHON" scripts/gpu_check.py "$@"
