# shellcheck shell=bash
# Initial file systems of guests: busybox, programs of this machine with their libraries, modules of the kernel.
#
# A tree is begun by tree_new, filled by tree_*, and packed by tree_pack. Nothing of it belongs to root on this machine.

tree=

# The layout is Debian's: programs lie where scripts and tests expect them, busybox's come after them in PATH.
tree_new() {
  local applet
  tree=$scratch/tree
  rm -rf "$tree"
  mkdir -p "$tree"/{dev,etc,mnt,opt,proc,root,run,sys,tmp,usr/{bin,sbin,lib,lib64,busybox},var/{empty,lib,log,tmp}}
  ln -s usr/bin usr/sbin usr/lib usr/lib64 "$tree"
  need_command busybox
  cp "$(command -v busybox)" "$tree/usr/busybox/busybox"
  while IFS= read -r applet; do
    [[ $applet == busybox ]] || ln -s busybox "$tree/usr/busybox/$applet"
  done < <("$tree/usr/busybox/busybox" --list)
}

# tree_file FILE [PATH]: a file, with the libraries that it needs when it is a program; at the same path by default.
tree_file() {
  local file=$1 path=${2:-$1} library
  mkdir -p "$tree/${path%/*}"
  cp -L "$file" "$tree/$path"
  while IFS= read -r library; do
    [[ -e $tree$library ]] && continue
    mkdir -p "$tree${library%/*}"
    cp -L "$library" "$tree$library"
  done < <({ ldd "$file" 2>/dev/null || true; } | { grep -oE '/[^ ]+\.so[^ ]*' || true; } | sort -u)
}

# tree_program NAME...: by PATH, to where it really is.
tree_program() {
  local name file
  for name in "$@"; do
    file=$(PATH=$PATH:/usr/sbin:/sbin type -P "$name") || die "no $name here; as root: ./setup.sh packages vm test"
    tree_file "$file"
  done
}

# tree_modules NAME...: with what they depend on and an index, so that the kernel finds them when it wants one, as on a
# real host. Names that this kernel has built in, or lacks, add nothing.
tree_modules() {
  local modules=lib/modules/$kernel_release
  [[ -n $kernel_tree ]] || return 0
  mkdir -p "$tree/$modules"
  # modprobe's status tells of names that are not there.
  { modprobe -d "$kernel_tree" -S "$kernel_release" -a --show-depends "$@" 2>/dev/null || true; } |
    awk '/^insmod/ { print $2 }' | sort -u | xargs cp -t "$tree/$modules"
  cp "$kernel_tree/$modules"/modules.{builtin,builtin.modinfo,order} "$tree/$modules"
  depmod -b "$tree" "$kernel_release" 2>/dev/null
}

# tree_pack FILE INIT
tree_pack() {
  cp "$2" "$tree/init"
  chmod 755 "$tree/init"
  (cd "$tree" && find . -print0 | cpio -0 -o -H newc -R 0:0 --quiet) >"$1"
  rm -rf "$tree"
}
