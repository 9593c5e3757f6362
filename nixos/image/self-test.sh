# After a new system was switched to: does this camera still do what it is for? If not, back to the last system that did.
#
#     self-test SYSTEM GOOD PROFILE SOCKET GATEWAY CAMERA...
#
# SYSTEM   the running system's link, /run/current-system
# GOOD     a link to the last system that passed; it keeps it from being collected as garbage
# PROFILE  the profile that the next boot takes
# SOCKET   the daemon's socket;  GATEWAY  the port of nginx, or 0 where there is none
# A system that has passed once is not given up for a camera that is unplugged later.
set -euo pipefail
system=$1 good=$2 profile=$3 socket=$4 gateway=$5
shift 5
patience_s=${PATIENCE_S:-180}

previous=$(readlink -e "$good" 2>/dev/null || true)

# The daemon wants to know who asks. On its socket nginx says so; here it is root.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /OU=viewer/CN=self-test \
    -keyout "$work/key" -out "$work/certificate" 2>/dev/null
identity=$(sed 's/ /%20/g; s/+/%2B/g; s,/,%2F,g; s/=/%3D/g' "$work/certificate" | awk '{ printf "%s%%0A", $0 }')

# Prints what does not work; nothing if all does.
faults() {
    local answer camera picture=$work/picture
    for camera in "$@"; do
        curl --silent --fail --max-time 10 --unix-socket "$socket" --header "X-Client-Cert: $identity" \
            --output "$picture" "http://localhost/cameras/$camera/api/snapshot.jpg" && [ -s "$picture" ] ||
            echo "camera $camera gives no picture"
    done
    [ "$gateway" != 0 ] || return 0
    # It asks for a certificate, which there is none of here: that it shows its own is what is wanted, however it ends.
    answer=$(timeout 10 openssl s_client -connect "127.0.0.1:$gateway" -servername "${SERVER_NAME:-localhost}" \
        </dev/null 2>/dev/null || true)
    [[ $answer == *'BEGIN CERTIFICATE'* ]] || echo "the gateway does not answer on port $gateway"
}

# A switch during the test begins it again.
while current=$(readlink -f "$system") && { [ -n "$(faults "$@")" ] || [ "$current" != "$(readlink -f "$system")" ]; }; do
    if ((SECONDS >= patience_s)); then
        faults "$@" >&2
        if [ -z "$previous" ] || [ "$previous" = "$current" ]; then
            echo "self-test: failed; there is no other system that passed: this one stays" >&2
            exit 1
        fi
        echo "self-test: failed; back to $previous" >&2
        nix-env --profile "$profile" --set "$previous"
        "$previous/bin/switch-to-configuration" switch
        exit 1
    fi
    sleep 2
done
ln -sfn "$current" "$good.new"
mv -T "$good.new" "$good"
echo "self-test: passed"
