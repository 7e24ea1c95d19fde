#!/bin/sh
# Makes .venv ready: finds a Python that works, the Debian packages that are missing, and hands over to setup_env.py.
#
#   PYTHON=...       the interpreter to use; else the first complete python3.13, 3.12, 3.11 (then python3) on the path
#   ORCH_NO_APT=1    never call apt-get, also not as root
#
# `setup.sh --which` only prints the interpreter that it would take.
#
# Exit codes: 0 ready, 1 something failed, 3 a required package is missing (the line that installs it is printed).
set -eu
unset CDPATH PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONUSERBASE
cd "$(dirname "$0")/.."

say() { printf 'orch: %s\n' "$*" >&2; }

# Prints the base interpreter behind command $1, if it is 3.11 or newer and starts for this user. A version manager's
# shim may exist and fail, or lead to a folder that this user cannot read: only running it tells.
base_of() {
    timeout 60 "$1" -I -c '
import sys
if sys.version_info < (3, 11): sys.exit(1)
import sqlite3, ssl
print(getattr(sys, "_base_executable", None) or sys.executable)' </dev/null 2>/dev/null
}

has_venv() { timeout 60 "$1" -I -c 'import venv, ensurepip' </dev/null 2>/dev/null; }

has_headers() {
    timeout 60 "$1" -I -c '
import os, sys, sysconfig
dirs = {sysconfig.get_config_var("INCLUDEPY"), sysconfig.get_path("include"), sysconfig.get_path("include", "posix_prefix")}
sys.exit(not any(d and os.path.isfile(os.path.join(d, "Python.h")) for d in dirs))' </dev/null 2>/dev/null
}

# Every executable called $1 on the path, not the first alone: a broken shim may hide a good one.
on_path() {
    case $1 in */*) printf '%s\n' "$1"; return ;; esac
    old_ifs=$IFS; IFS=:
    for dir in $PATH; do
        if [ -f "$dir/$1" ] && [ -x "$dir/$1" ]; then printf '%s\n' "$dir/$1"; fi
    done
    IFS=$old_ifs
}

candidates() {
    if [ -n "${PYTHON:-}" ]; then on_path "$PYTHON"; return; fi
    for name in python3.13 python3.12 python3.11 python3; do on_path "$name"; done
}

# Sets python to the first complete interpreter, else to the first that works, else to nothing.
choose_python() {
    python=
    found=$(candidates)
    while IFS= read -r candidate; do
        base=$(base_of "$candidate") || continue
        [ -n "$base" ] || continue
        [ -n "$python" ] || python=$base
        if has_venv "$base" && has_headers "$base"; then python=$base; return; fi
    done <<EOF
$found
EOF
}

probe() {
    case $1 in
        cmd:*) command -v "${1#cmd:}" >/dev/null 2>&1 ;;
        python:works) [ -n "$python" ] ;;
        python:venv) [ -n "$python" ] && has_venv "$python" ;;
        python:headers) [ -n "$python" ] && has_headers "$python" ;;
        gcc:headers) printf '#include <stdlib.h>\n' | gcc -E -x c - >/dev/null 2>&1 ;;
        *) say "apt-packages.txt: unknown probe $1"; exit 1 ;;
    esac
}

# Sets missing and required_missing from apt-packages.txt.
find_missing() {
    missing= required_missing=
    while read -r package need how _ || [ -n "$package" ]; do
        case $package in ''|'#'*) continue ;; esac
        if probe "$how"; then continue; fi
        missing="$missing $package"
        [ "$need" != required ] || required_missing="$required_missing $package"
    done <apt-packages.txt
    missing=${missing# } required_missing=${required_missing# }
}

apt_install() {
    say "installing missing Debian packages: $missing"
    (
        umask 022
        export DEBIAN_FRONTEND=noninteractive
        apt="apt-get -qq -o DPkg::Lock::Timeout=120"
        # shellcheck disable=SC2086  # lists of words
        { $apt update || say "apt-get update failed; trying to install all the same"
          $apt install -y --no-install-recommends $missing || say "apt-get install failed"; } </dev/null >&2
    )
}

if [ "${1:-}" = --which ]; then
    choose_python
    printf '%s\n' "$python"
    [ -n "$python" ]
    exit
fi

# The usual case: nothing has changed since the last set-up.
if [ -x .venv/bin/python ] && .venv/bin/python -I scripts/setup_env.py --check 2>/dev/null; then exit 0; fi

choose_python
find_missing
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && [ "${ORCH_NO_APT:-}" != 1 ] && command -v apt-get >/dev/null 2>&1; then
    apt_install
    choose_python
    find_missing
fi
if [ -n "$missing" ]; then
    if [ -n "${PYTHON:-}" ] && [ -z "$python" ]; then
        say "PYTHON=$PYTHON does not start, or is older than Python 3.11."
    elif [ -n "$python" ]; then
        say "using $python"
    fi
    say "missing Debian packages: $missing. Install them by"
    printf 'sudo apt-get install %s\n' "$missing" >&2
    if [ -n "$required_missing" ]; then exit 3; fi
fi
if [ ! -w . ]; then
    say "$(pwd) is not writable for $(id -un 2>/dev/null || id -u): clone the repository into a folder of your own."
    exit 1
fi
exec "$python" -I scripts/setup_env.py
