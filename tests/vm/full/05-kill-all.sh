#!/usr/bin/env bash
# Every process of the unit is killed at once, the guardian as well.
. "$(dirname "$0")/lib.sh"

comes_back all
