#!/usr/bin/env bash
# cargo-deny 0.20.2: in the short form of a package, "name@<1.0.15" bans 1.0.15 itself, and so does
# "name@>1.0.15"; the long form { name, version } with the same requirement does not. Whoever writes
# a minimum version as "crate@<MINIMUM" forbids the minimum.
#
# Seen:
#   { crate = "itoa@<1.0.15" }              itoa 1.0.15 is banned
#   { name = "itoa", version = "<1.0.15" }  bans ok
#   { crate = "itoa@>1.0.15" }              itoa 1.0.15 is banned
#   { name = "itoa", version = ">1.0.15" }  bans ok
#   { crate = "itoa@<=1.0.14" }             bans ok
#
# Fails if one of these changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export CARGO_TARGET_DIR="$folder/target"
cargo install --quiet --locked --root "$folder/tools" --version '=0.20.2' cargo-deny
deny="$folder/tools/bin/cargo-deny"
"$deny" --version

mkdir -p "$folder/probe/src"
cd "$folder/probe"
cat >Cargo.toml <<'MANIFEST'
[package]
name = "probe"
version = "0.1.0"
edition = "2021"
license = "MIT"

[dependencies]
itoa = "=1.0.15"
MANIFEST
: >src/lib.rs
cargo generate-lockfile --quiet

failed=0
# What an entry of bans.deny makes of itoa 1.0.15.
expect() {
    local expected=$1 entry=$2 got=allowed
    printf '[bans]\ndeny = [%s]\n' "$entry" >deny.toml
    if "$deny" --log-level error check bans >said 2>&1; then :; else got=banned; fi
    if [ "$got" = banned ] && ! grep -q "itoa = 1.0.15' is explicitly banned" said; then
        cat said
        exit 2
    fi
    printf '%-42s %s\n' "$entry" "$got"
    if [ "$got" != "$expected" ]; then
        echo "  it was $expected before"
        failed=1
    fi
}
expect banned '{ crate = "itoa@<1.0.15" }'
expect allowed '{ name = "itoa", version = "<1.0.15" }'
expect banned '{ crate = "itoa@>1.0.15" }'
expect allowed '{ name = "itoa", version = ">1.0.15" }'
expect allowed '{ crate = "itoa@<=1.0.14" }'
expect allowed '{ crate = "itoa@<1.0.14" }'
exit "$failed"
