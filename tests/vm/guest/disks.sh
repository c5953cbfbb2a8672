# shellcheck shell=sh
# For busybox's sh and bash: the guest's disks by serial number, and results on their way out.

# disk SERIAL: its device; waits for it, since drivers find disks when they get to it.
disk() {
  disk_tries=0
  while [ "$disk_tries" -lt 100 ]; do
    for disk_file in /sys/block/vd*/serial; do
      if [ "$(cat "$disk_file" 2>/dev/null)" = "$1" ]; then
        disk_file=${disk_file%/serial}
        echo "/dev/${disk_file##*/}"
        return
      fi
    done
    sleep 0.1
    disk_tries=$((disk_tries + 1))
  done
  echo "no disk $1" >&2
  return 1
}

# publish DIRECTORY DEVICE: everything in it so far, as an archive. What a guest that dies later had done is not lost.
publish() {
  tar -C "$1" -cf "$2" .
  sync
}
