#!/bin/sh
# Turns uploads into MP4 files, with the options of Watchtower 1.x. `watchtower unseal` does the work, and more.
set -eu

usage() {
    echo "usage: $0 -i INPUT_FOLDER -o OUTPUT_FOLDER [-k PRIVATE_KEY.pem] [-f FRAMES_PER_SECOND]"
}

input='' output='' key='' fps=''
while getopts hi:o:k:f: option; do
    case "$option" in
    h) usage; exit ;;
    i) input=$OPTARG ;;
    o) output=$OPTARG ;;
    k) key=$OPTARG ;;
    f) fps=$OPTARG ;;
    *) usage >&2; exit 2 ;;
    esac
done
if [ -z "$input" ] || [ -z "$output" ]; then
    usage >&2
    exit 2
fi
exec watchtower unseal ${key:+--key "$key"} ${fps:+--fps "$fps"} --out "$output" -- "$input"
