# What the owner wrote on the card's FAT partition, which every computer can write: taken over, checked, and erased from there.
#
#     first-boot BOOT ROOT [FILE...]
#
# BOOT/watchtower-setup.txt has lines `key = value`; `#` begins a comment:
#     host_name = front
#     ssh_key = ssh-ed25519 AAAA…          (may be repeated)
#     wifi_ssid = Home
#     wifi_passphrase = …
#     wifi_country = DE
# BOOT/watchtower-setup/ may have server.pem, server.key, clients-ca.pem, clients-crl.pem.
# What is wrong is left out and said in BOOT/watchtower-setup.log; the camera starts all the same. ROOT is "" on a camera. FILEs are
# what the gateway does not start without; it is said which are missing. HOST_NAME is the name that the configuration has set, if any.
set -uo pipefail
boot=$1 root=$2
shift 2
file=$boot/watchtower-setup.txt folder=$boot/watchtower-setup log=$boot/watchtower-setup.log
state=$root/var/lib/watchtower-setup tls=$root/var/lib/watchtower-tls iwd=$root/var/lib/iwd
umask 077

: >"$log"
say() { echo "$*" | tee -a "$log"; }
# The place, never the value: it may be a secret.
wrong() { say "line $line: $*"; }

host_name='' ssid='' passphrase='' country=''
keys=()
line=0
if [ -f "$file" ]; then
    while IFS= read -r text || [ -n "$text" ]; do
        line=$((line + 1))
        text=${text%$'\r'}
        ((line > 1)) || text=${text#$'\xef\xbb\xbf'}
        [[ $text =~ ^[[:space:]]*(#.*)?$ ]] && continue
        if ! [[ $text =~ ^[[:space:]]*([a-z_]+)[[:space:]]*=[[:space:]]*(.*[^[:space:]])[[:space:]]*$ ]]; then
            wrong "is not 'key = value'"
            continue
        fi
        key=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
        case $key in
        host_name)
            if [[ $value =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]]; then host_name=$value; else
                wrong "host_name is 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -"; fi ;;
        ssh_key)
            if ssh-keygen -l -f - <<<"$value" >/dev/null 2>&1; then keys+=("$value"); else
                wrong "ssh_key is not a public key, such as the one in ~/.ssh/id_ed25519.pub"; fi ;;
        wifi_ssid)
            if ((${#value} <= 32)); then ssid=$value; else wrong "wifi_ssid has more than 32 characters"; fi ;;
        wifi_passphrase)
            if [[ $value =~ ^[[:print:]]{8,63}$ ]]; then passphrase=$value; else
                wrong "wifi_passphrase has 8 to 63 characters"; fi ;;
        wifi_country)
            if [[ $value =~ ^[A-Z]{2}$ ]]; then country=$value; else wrong "wifi_country is two capital letters, such as DE"; fi ;;
        *) wrong "'$key' is not known; known are host_name, ssh_key, wifi_ssid, wifi_passphrase, wifi_country" ;;
        esac
    done <"$file"
fi

# $1: the file; the rest of the arguments: a command that accepts its content at standard input.
put() {
    mkdir -p "$(dirname "$1")"
    cat >"$1.new" && mv "$1.new" "$1"
}

if [ -n "$host_name" ] && [ -n "${HOST_NAME:-}" ]; then
    say "host name: stays $HOST_NAME, which networking.hostName sets; $host_name is left out"
elif [ -n "$host_name" ]; then
    put "$state/host-name" <<<"$host_name"
    say "host name: $host_name"
fi
if ((${#keys[@]})); then
    chmod 755 "$(dirname "$state")" 2>/dev/null
    printf '%s\n' "${keys[@]}" | put "$state/authorized_keys"
    say "SSH: ${#keys[@]} keys for root"
fi
if [ -n "$country" ]; then
    put "$state/wifi-country" <<<"$country"
    say "Wi-Fi: country $country"
fi
if [ -n "$ssid" ]; then
    # iwd.network(5): the name as it is, or in hexadecimal digits after "=".
    name=$ssid
    [[ $ssid =~ ^[A-Za-z0-9_\ -]+$ ]] || name="=$(printf %s "$ssid" | od -An -v -tx1 | tr -d ' \n')"
    if [ -n "$passphrase" ]; then
        escaped=${passphrase//\\/\\\\}
        [[ $escaped == ' '* ]] && escaped="\\s${escaped:1}"
        printf '[Security]\nPassphrase=%s\n' "$escaped" | put "$iwd/$name.psk"
        say "Wi-Fi: a network with a passphrase"
    elif grep -qs wifi_passphrase "$file"; then
        say "Wi-Fi: left out, for want of a passphrase"
    else
        printf '[Settings]\nAutoConnect=true\n' | put "$iwd/$name.open"
        say "Wi-Fi: a network without a passphrase"
    fi
fi

# A certificate and the key of another are worse than none.
if [ -f "$folder/server.pem" ] || [ -f "$folder/server.key" ]; then
    if certificate=$(openssl x509 -in "$folder/server.pem" -noout -pubkey 2>/dev/null) &&
        key=$(openssl pkey -in "$folder/server.key" -pubout 2>/dev/null) && [ "$certificate" = "$key" ]; then
        put "$tls/server.key" <"$folder/server.key"
        put "$tls/server.pem" <"$folder/server.pem"
        say "certificates: the server's"
    else
        say "certificates: server.pem and server.key are not a certificate and its key; left out"
    fi
fi
if [ -f "$folder/clients-ca.pem" ]; then
    if [[ $(openssl x509 -in "$folder/clients-ca.pem" -noout -text 2>/dev/null) == *CA:TRUE* ]]; then
        put "$tls/clients-ca.pem" <"$folder/clients-ca.pem"
        say "certificates: the clients' CA"
    else
        say "certificates: clients-ca.pem is not the certificate of a CA; left out"
    fi
fi
if [ -f "$folder/clients-crl.pem" ]; then
    if openssl crl -in "$folder/clients-crl.pem" -noout 2>/dev/null; then
        put "$tls/clients-crl.pem" <"$folder/clients-crl.pem"
        say "certificates: the revocation list"
    else
        say "certificates: clients-crl.pem is not a revocation list; left out"
    fi
fi
for needed in "$@"; do
    [ -e "$root$needed" ] || say "certificates: $needed is missing; the gateway does not start without it"
done

# On the card for good first; then away from where everybody can read it.
sync
shopt -s nullglob
for secret in "$file" "$folder"/*; do
    [ -f "$secret" ] && shred -u "$secret"
done
[ -d "$folder" ] && rmdir "$folder" 2>/dev/null
sync
exit 0
