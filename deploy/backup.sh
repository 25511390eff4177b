#!/bin/sh
# Copies an embedded store and the state folder while Vestibule is stopped:
#
#   systemctl stop vestibule && deploy/backup.sh STATE STORE TARGET.tar; systemctl start vestibule
#
# STATE: --state. STORE: the folder of chdb:///FOLDER. To restore, unpack TARGET.tar into an empty folder, which then
# holds state/ and store/. The copy is as sensitive as the original: days that are still open come with their salts.
# What keys the signatures (VESTIBULE_SECRET, or the file that --dev keeps) is not in it: keep that elsewhere.
set -eu
umask 077
[ $# -eq 3 ] || { echo "usage: backup.sh STATE STORE TARGET.tar" >&2; exit 2; }
state=$1 store=$2 target=$3
[ -d "$state" ] && [ -d "$store" ] || { echo "backup.sh: $state or $store is no folder" >&2; exit 1; }

# The lock that a running Vestibule holds: a copy of files that are being written is none.
exec 9>>"$state/vestibule.lock"
flock -n 9 || { echo "backup.sh: Vestibule is running in $state; stop it first" >&2; exit 1; }

rm -f "$target.part"
tar --create --file "$target.part" --directory "$state" --transform 's,^\.,state,' \
    --exclude ./recorder.sock --exclude ./vestibule.lock --exclude ./secret .
case $target in /*) part=$target.part ;; *) part=$PWD/$target.part ;; esac
tar --append --file "$part" --directory "$store" --transform 's,^\.,store,' .
mv "$target.part" "$target"
