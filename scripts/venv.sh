#!/bin/sh
# Make .venv and install the package with all extras: scripts/venv.sh lab|test
# For `test` the dependency group of that name is installed too.
#
# No index is ever named: packages come from wherever this machine's pip and uv are set to look, PyPI by default.
set -eu
cd "$(dirname "$0")/.."
target=$1
venv=.venv

# The first Python that runs and is new enough; a version manager's shim may exist and still refuse to run.
find_python() {
    for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
    echo "xai_widgets needs Python 3.10 or newer, and none was found; name one with: make lab PYTHON=/path/to/python3" >&2
    return 1
}

if ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
    python=$(find_python)
    # Debian keeps the part of the standard library that makes environments in a package of its own.
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || sh scripts/system.sh venv
    echo "making $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi

case $target in
lab) group= ;;
test) group="--group test" ;;
*)
    echo "expected lab or test, got '$target'" >&2
    exit 2
    ;;
esac

# uv installs in seconds what takes pip minutes, and compiles: importing torch and torchvision from source takes 10 s more.
with_uv() {
    { [ -x "$venv/bin/uv" ] || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv; } &&
        "$venv/bin/uv" pip install --quiet --compile-bytecode --python "$venv/bin/python" $group --editable ".[all]"
}

# Dependency groups need pip 25.1.
with_pip() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "pip>=25.1" &&
        "$venv/bin/python" -m pip install --disable-pip-version-check --compile $group --editable ".[all]"
}

echo "installing xai_widgets for '$target' into $venv (the first time takes a minute or more: torch is large)"
# uv knows nothing of what pip.conf says (a certificate, a proxy), so what it cannot do pip may.
with_uv || {
    echo "uv could not install here; going on with pip, which is slower"
    with_pip
}
"$venv/bin/python" -m compileall -q xai_widgets

# What the tests need holds what JupyterLab needs.
if [ "$target" = test ]; then touch "$venv/.installed-lab"; fi
touch "$venv/.installed-$target"
