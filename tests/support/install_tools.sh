#!/bin/sh
# Installs the JavaScript DAX clients, at locked versions, into .tools/js. Run again, it does
# nothing. Without node or npm it says so and succeeds: the tests that need them skip, with the
# same reason.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
target="$root/.tools/js"

for tool in node npm; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "tools: $tool is not installed: the tests of the JavaScript clients will be skipped" >&2
        exit 0
    fi
done

if [ -f "$target/.installed" ] && cmp -s "$root/tests/support/js/package-lock.json" "$target/.installed"; then
    exit 0
fi

echo "tools: installing the JavaScript DAX clients into .tools/js"
mkdir -p "$target"
rm -f "$target/.installed"
cp "$root/tests/support/js/package.json" "$root/tests/support/js/package-lock.json" "$target/"
(cd "$target" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
cp "$root/tests/support/js/package-lock.json" "$target/.installed"
