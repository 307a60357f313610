#!/bin/sh
# Installs clients that tests drive, at locked versions: JavaScript ones into .tools/js, and those
# Python ones that need a botocore of their own (PynamoDB, the AWS CLI) into .tools/venv, the Java ones
# into .tools/java, the Go ones into .tools/go; and what lists and audits dependencies into .tools/audit. Run again, it does nothing. Without node, npm, mvn, javac
# or go it says so and succeeds:
# the tests that need them skip, with the same reason. The argument is the Python to make the environment with.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
python=${1:-python3}

install_python() {
    target="$root/.tools/$1"
    lock="$root/requirements/$2"
    if [ -f "$target/.installed" ] && cmp -s "$lock" "$target/.installed"; then
        return
    fi
    echo "tools: installing $3 into .tools/$1"
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

install_java() {
    sources="$root/tests/support/java"
    for tool in java javac mvn; do
        if ! command -v "$tool" >/dev/null 2>&1; then
            echo "tools: $tool is not installed: the tests of the Java client will be skipped" >&2
            return
        fi
    done
    for driver in sdk1 sdk2 enhanced; do
        install_java_driver "$root/.tools/java/$driver" "$sources" "$driver"
    done
}

install_java_driver() {
    target=$1
    sources=$2
    driver=$3
    if ! [ -f "$target/.installed" ] || ! cmp -s "$sources/$driver/pom.xml" "$target/.installed"; then
        echo "tools: installing the Java client ($driver) into .tools/java"
        rm -rf "$target"
        mkdir -p "$target"
        mvn --batch-mode --quiet -f "$sources/$driver/pom.xml" dependency:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$target/lib"
        cp "$sources/$driver/pom.xml" "$target/.installed"
    fi
    if ! [ -d "$target/classes" ] || ! cat "$sources/Lines.java" "$sources/$driver/Driver.java" | cmp -s - "$target/compiled"; then
        rm -rf "$target/classes"
        javac -nowarn -encoding UTF-8 -d "$target/classes" -cp "$target/lib/*" \
            "$sources/Lines.java" "$sources/$driver/Driver.java"
        cat "$sources/Lines.java" "$sources/$driver/Driver.java" > "$target/compiled"
    fi
}

install_go() {
    target="$root/.tools/go"
    sources="$root/tests/support/go"
    if ! command -v go >/dev/null 2>&1; then
        echo "tools: go is not installed: the tests of the Go clients will be skipped" >&2
        return
    fi
    stamp=$(cd "$sources" && cat go.mod go.sum codec/*.go sdkv1/*.go sdkv2/*.go | cksum)
    if [ -f "$target/.installed" ] && [ "$stamp" = "$(cat "$target/.installed")" ]; then
        return
    fi
    echo "tools: compiling the Go clients into .tools/go"
    mkdir -p "$target"
    rm -f "$target/.installed"
    (cd "$sources" && GOFLAGS=-mod=readonly GOWORK=off go build -trimpath -ldflags='-s -w' -o "$target/" ./sdkv1 ./sdkv2)
    echo "$stamp" > "$target/.installed"
}

# Side by side: each mostly waits for its registry.
{
    install_python venv clients.txt "PynamoDB and the AWS CLI"
    install_python audit audit.txt "pip-audit and CycloneDX"
} &
first=$!
install_javascript &
second=$!
install_go &
third=$!
install_java
wait "$first"
wait "$second"
wait "$third"
