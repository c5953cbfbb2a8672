#!/usr/bin/env bash
# One container of Podman loses its network, by name and by id, over its restart, to its end; its neighbour in the same
# namespace does not.
. "$(dirname "$0")/lib.sh"

logs=/run/story-containers

lines() { grep -cxF "$2" "$logs/$1" || true; }
more_than() { (($(lines "$1" "$2") > $3)); }
# talks NAME: answers come in.
talks() { within 10 more_than "$1" answered "$(($(lines "$1" answered) + 3))"; }
# silent NAME: pings go out, and no answer comes.
silent() {
  local answers
  within 10 more_than "$1" unanswered "$(($(lines "$1" unanswered) + 1))"
  answers=$(lines "$1" answered)
  within 15 more_than "$1" unanswered "$(($(lines "$1" unanswered) + 5))"
  [[ $(lines "$1" answered) == "$answers" ]] || fail "$1 still gets answers"
  printf 'ok: %s gets none\n' "$1"
}
ended_as() { [[ $(chaosctl -o json show "$id" | jq -r .end_reason) == "$1" ]]; }

# lose_all CONTAINER: sets id.
lose_all() {
  id=$(as alice chaosctl -o json start packet_loss --target "container=$1" -p probability=100% --duration 5m |
    jq -r .id)
  [[ $id != null && -n $id ]] || fail 'it did not start'
}

run_container() {
  check podman run --detach --quiet --name "$1" --network ns:/run/netns/left --cap-add NET_RAW --volume "$logs:/logs" \
    only-busybox /bin/busybox sh -c "while :; do
      if /bin/busybox ping -c 1 -W 1 10.99.0.2 >/dev/null 2>&1; then echo answered; else echo unanswered; fi >>/logs/$1
      /bin/busybox sleep 0.2
    done"
}

clean_up() {
  podman rm --force --time 0 victim neighbour >/dev/null 2>&1 || true
  podman rmi --force only-busybox >/dev/null 2>&1 || true
  rm -rf "$logs"
  remove_hosts
}

make_hosts
trap clean_up EXIT
mkdir -p "$logs/root/bin"
cp /bin/busybox "$logs/root/bin/"
tar -C "$logs/root" -cf "$logs/image.tar" .
check podman import --quiet "$logs/image.tar" only-busybox
run_container victim
run_container neighbour
talks victim
talks neighbour
check answers
remember_state

step 'the container loses its network by its name, and its neighbour does not'
lose_all victim
silent victim
talks neighbour

step 'restarted, it is the same container'
check podman restart --time 0 victim
silent victim
talks neighbour
check as alice chaosctl stop "$id"
talks victim

step 'by its id; stopped for good, it is gone'
lose_all "$(podman inspect --format '{{.Id}}' victim | cut -c1-12)"
silent victim
check podman stop --time 0 victim
within 20 ended_as target_gone
talks neighbour
check podman start victim
talks victim
no_residue
