#!/usr/bin/env bash
# Installs what a checkout needs and is missing, and nothing when nothing is: system packages, .venv, requirements.
#
#   scripts/bootstrap.sh run     ffmpeg, libchromaprint, requirements.txt
#   scripts/bootstrap.sh check   the same, and the tools of requirements-dev.txt
#   scripts/bootstrap.sh test    the same, and PostgreSQL's server, Chromium and fpcalc, which only tests use
#
# What belongs here: making a bare machine able to start musicfp. What does not: starting it (see Makefile).
set -euo pipefail

# essentia-tensorflow decides: the pinned release has wheels for these versions and no source distribution.
SUPPORTED_PYTHONS="3.11 3.12 3.13"
MODE=${1:-run}
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
VENV=$ROOT/.venv

main() {
    case $MODE in
        run) requirements=requirements.txt ;;
        check | test) requirements=requirements-dev.txt ;;
        *) fail "unknown mode '$MODE'; use run, check or test." ;;
    esac
    cd "$ROOT"
    install_system_packages
    usable_venv || create_venv
    install_requirements "$requirements"
}

say() { printf '%s\n' "$*" >&2; }
fail() { say "bootstrap: $*"; exit 1; }

# --- system packages: each is looked for by what it provides, so that no package manager is asked when all is there

install_system_packages() {
    local missing=()
    have_commands ffmpeg ffprobe || missing+=(ffmpeg)
    have_chromaprint || missing+=(chromaprint)
    # A machine without a Python that will do gets its message from create_venv.
    usable_venv || ! find_python >/dev/null || can_make_venvs || missing+=(venv)
    if [ "$MODE" = test ]; then
        have_postgresql || missing+=(postgresql)
        have_chromium || missing+=(chromium)
        have_commands fpcalc || missing+=(fpcalc)
    fi
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(uname -s)" = Darwin ]; then
        brew_install "${missing[@]}"
    elif have_commands apt-get; then
        apt_install "${missing[@]}"
    else
        fail "missing: ${missing[*]}. Only apt (Debian, Ubuntu) and brew (macOS) are known here; install them by hand."
    fi
}

have_commands() {
    local name
    for name in "$@"; do command -v "$name" >/dev/null 2>&1 || return 1; done
}

have_chromaprint() {
    if [ "$(uname -s)" = Darwin ]; then
        compgen -G '/opt/homebrew/lib/libchromaprint*.dylib' >/dev/null || compgen -G '/usr/local/lib/libchromaprint*.dylib' >/dev/null
    else
        # ldconfig stands outside PATH for users who are not root. A here-string, as grep -q would break a pipe.
        grep -q 'libchromaprint\.so\.1' <<<"$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p)"
    fi
}

have_postgresql() {
    have_commands initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
        compgen -G '/opt/homebrew/opt/postgresql@*/bin/initdb' >/dev/null ||
        compgen -G '/usr/local/opt/postgresql@*/bin/initdb' >/dev/null
}

have_chromium() {
    have_commands chromium || [ -d '/Applications/Chromium.app' ]
}

can_make_venvs() { "$(find_python)" -c 'import ensurepip' 2>/dev/null; }

apt_install() {
    local packages=() name as_root=()
    for name in "$@"; do
        case $name in
            chromaprint) packages+=(libchromaprint1) ;;
            fpcalc) packages+=(libchromaprint-tools) ;;
            # Ubuntu and Debian name the package after the version that will make the .venv.
            venv) packages+=("$(find_python)-venv") ;;
            *) packages+=("$name") ;;
        esac
    done
    if [ "$(id -u)" -ne 0 ]; then
        have_commands sudo || fail "these packages are missing and need root: ${packages[*]}
  Neither root nor sudo is here. Ask someone who has it to run:
  apt-get install --no-install-recommends ${packages[*]}"
        as_root=(sudo)
    fi
    say "Installing system packages: ${packages[*]}"
    as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    local install=("${as_root[@]}" install -y --no-install-recommends "${packages[@]}")
    if package_lists_are_recent && "${install[@]}" >&2; then return; fi
    "${as_root[@]}" update >&2 || fail "apt-get update failed; the first set-up needs a network. See its message above."
    "${install[@]}" >&2 || fail "apt-get could not install: ${packages[*]}. See its message above."
}

package_lists_are_recent() {
    [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mtime -1 -print -quit 2>/dev/null)" ]
}

brew_install() {
    local formulae=() name
    have_commands brew || fail "missing: $*. Install Homebrew, then run this again."
    for name in "$@"; do
        case $name in
            postgresql) formulae+=(postgresql@16) ;;
            fpcalc) formulae+=(chromaprint) ;;
            venv) formulae+=(python@3.11) ;;
            *) formulae+=("$name") ;;
        esac
    done
    say "Installing with brew: ${formulae[*]}"
    brew install "${formulae[@]}" >&2
}

# --- Python

find_python() {
    local candidate
    for candidate in python3.11 python3.12 python3.13 python3; do
        # Run it: version managers put names on PATH that refuse to start.
        if supported "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)"; then
            "$candidate" -c 'import sys; print("python%d.%d" % sys.version_info[:2])'
            return
        fi
    done
    return 1
}

supported() {
    [ -n "$1" ] || return 1
    case " $SUPPORTED_PYTHONS " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

# A .venv holds absolute paths: one that came with a copied or moved checkout is made anew.
usable_venv() {
    [ -x "$VENV/bin/python" ] && [ -f "$VENV/bin/pip" ] || return 1
    case $(head -n 1 "$VENV/bin/pip") in "#!$VENV/bin/"*) ;; *) return 1 ;; esac
    supported "$(sed -n 's/^version *= *\([0-9]*\.[0-9]*\).*/\1/p' "$VENV/pyvenv.cfg")"
}

create_venv() {
    local python
    python=$(find_python) || fail "no Python that musicfp runs on: it needs one of $SUPPORTED_PYTHONS, as essentia-tensorflow
  is published for these. Found: $(python3 --version 2>&1 || true). Debian 12: apt-get install python3.11 python3.11-venv;
  macOS: brew install python@3.11."
    say "Making .venv with $python"
    rm -rf "$VENV"
    "$python" -m venv "$VENV"
}

install_requirements() {
    local file=$1 stamp="$VENV/.installed-$1" wanted
    # requirements-dev.txt contains requirements.txt, so its stamp stands for both.
    wanted=$(cat "$VENV/pyvenv.cfg" requirements.txt requirements-dev.txt pyproject.toml | checksum)
    is_stamped "$stamp" "$wanted" || is_stamped "$VENV/.installed-requirements-dev.txt" "$wanted" && return
    say "Installing Python packages from $file (the first time takes a minute or two)"
    local pip=("$VENV/bin/python" -m pip --disable-pip-version-check --no-input)
    "${pip[@]}" install --quiet --require-hashes --only-binary :all: -r "$file" >&2 ||
        fail "pip could not install $file. See its message above; the first set-up needs a network."
    "${pip[@]}" install --quiet --no-index --no-deps --no-build-isolation -e . >&2 ||
        fail "pip could not install this checkout into .venv. See its message above."
    printf '%s\n' "$wanted" >"$stamp"
}

is_stamped() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

checksum() {
    if have_commands sha256sum; then sha256sum; else shasum -a 256; fi
}

main
