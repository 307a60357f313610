#!/bin/sh
# Installs clients that tests drive, at locked versions: JavaScript ones into .tools/js, and those
# Python ones that need a botocore of their own (PynamoDB, the AWS CLI) into .tools/venv. Run again,
# it does nothing. Without node or npm it says so and succeeds: the tests that need them skip, with
# the same reason. The argument is the Python to make the environment with.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
python=${1:-python3}

install_python() {
    target="$root/.tools/venv"
    lock="$root/requirements/clients.txt"
    if [ -f "$target/.installed" ] && cmp -s "$lock" "$target/.installed"; then
        return
    fi
    echo "tools: installing PynamoDB and the AWS CLI into .tools/venv"
    rm -f "$target/.installed"
    "$python" -m venv "$target"
    "$target/bin/python" -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r "$lock"
    cp "$lock" "$target/.installed"
}

install_javascript() {
    target="$root/.tools/js"
    for tool in node npm; do
        if ! command -v "$tool" >/dev/null 2>&1; then
            echo "tools: $tool is not installed: the tests of the JavaScript clients will be skipped" >&2
            return
        fi
    done
    if [ -f "$target/.installed" ] && cmp -s "$root/tests/support/js/package-lock.json" "$target/.installed"; then
        return
    fi
    echo "tools: installing the JavaScript clients into .tools/js"
    mkdir -p "$target"
    rm -f "$target/.installed"
    cp "$root/tests/support/js/package.json" "$root/tests/support/js/package-lock.json" "$target/"
    (cd "$target" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
    cp "$root/tests/support/js/package-lock.json" "$target/.installed"
}

install_python
install_javascript
