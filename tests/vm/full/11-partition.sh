#!/usr/bin/env bash
# network_partition as etcd and redis suffer it, by the installed programs.
. "$(dirname "$0")/lib.sh"

check answers
remember_state

step 'a cluster loses its leader and takes it back, a replica its master'
"$source/tests/system/partition_services_test.sh" /usr/sbin/chaosd /usr/bin/chaosctl || fail 'the partition test'
no_residue
