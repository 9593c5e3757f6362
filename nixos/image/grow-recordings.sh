# Gives the recordings what the card has left: a third partition behind the system's two, made at the first boot, grown when the
# card's image was copied to a larger one. Run before the file system is mounted; may be cut off at any point and run again.
#
#     grow-recordings DISK LABEL
#
# DISK has the firmware as its first and the system as its second partition. A file system with this LABEL is kept, also where it was
# made by another installation: what is recorded is never lost. Anything else in that place is left alone unless the
# partition has just been made, in space that was nobody's.
set -euo pipefail
disk=$1 label=$2
sector=512
least=$((64 * 1024 * 1024 / sector))

fail() { echo "grow-recordings: $*" >&2; exit 1; }
say() { echo "grow-recordings: $*"; }

# mmcblk0p3, loop0p3, but sda3.
case $disk in *[0-9]) part=${disk}p3 ;; *) part=${disk}3 ;; esac

# The start and the size of partition $1 in sectors, in $start and $size; fails where there is none.
locate() {
    local found
    found=$(partx --noheadings --raw --output START,SECTORS --nr "$1" "$disk" 2>/dev/null) && [ -n "$found" ] || return 1
    read -r start size <<<"$found"
}

# The kernel has the other partitions mounted: only this one is told to it.
tell_kernel() {
    partx --update --nr 3 "$disk" 2>/dev/null || partx --add --nr 3 "$disk" 2>/dev/null || true
    udevadm settle --timeout=10 2>/dev/null || true
    local n
    for ((n = 0; n < 50; n++)); do [ -b "$part" ] && return; sleep 0.1; done
    fail "$part does not appear"
}

total=$(blockdev --getsz "$disk")
fresh=
locate 2 || fail "$disk has no system on a second partition"
behind=$((start + size))
if locate 3; then
    room=$((total - start - size))
    if ((room > least)); then
        say "$part grows by $((room / 2048)) MiB"
        echo ", +" | sfdisk --quiet --no-reread --no-tell-kernel --force -N 3 "$disk"
    fi
else
    # At a boundary of 4 MiB, as flash memory likes it.
    begin=$(((behind + 8191) / 8192 * 8192))
    ((total - begin > least)) || fail "$disk is full: a card of at least 16 GB is needed"
    say "$part is made from the last $(((total - begin) / 2048)) MiB"
    echo "$begin, +, 83" | sfdisk --quiet --no-reread --no-tell-kernel --force --append "$disk"
    fresh=yes
fi
tell_kernel

type=$(blkid -p -o value -s TYPE "$part" || true)
found=$(blkid -p -o value -s LABEL "$part" || true)
if [ "$type" = ext4 ] && [ "$found" = "$label" ]; then
    # 0: clean, 1: mended.
    e2fsck -f -p "$part" || [ $? = 1 ] || e2fsck -f -y "$part" || [ $? = 1 ] || fail "$part cannot be mended"
    resize2fs "$part" 2>&1
elif [ -n "$type" ] && [ -z "$fresh" ]; then
    fail "$part holds $type \"$found\", which is not Watchtower's: format it as ext4 with the label $label, or take it away"
else
    # Not begun, or cut off before it was complete: mke2fs writes the superblock last.
    wipefs --quiet --all "$part"
    mkfs.ext4 -q -F -L "$label" -m 1 -E lazy_itable_init=1,lazy_journal_init=1 "$part"
    say "$part is ready"
fi
