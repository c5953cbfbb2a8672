#!/usr/bin/env bash
# The daemon is killed; its guardian is not.
. "$(dirname "$0")/lib.sh"

comes_back main
