#!/bin/sh
# Installs a released version:
#
#   curl -fsSL URL/install.sh | FERROSWITCH_FROM=URL sh
#
# FERROSWITCH_FROM     where the release is: an https:// address, or a folder
# FERROSWITCH_VERSION  which version, if not the only one there
# FERROSWITCH_SIGNER   public key (one line, `ssh-ed25519 …`): the signature of the checksums must be by it
# DESTDIR, PREFIX      where to (default: / and /usr)
#
# Checks the checksum of what it fetched before anything is unpacked. An existing configuration stays as it is.
set -eu

from=${FERROSWITCH_FROM:-}
prefix=${PREFIX:-/usr}
root=${DESTDIR:-}
fail() { echo "install: $*" >&2; exit 1; }
[ -n "$from" ] || fail "FERROSWITCH_FROM says where the release is"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

fetch() {
    case $from in
        https://* | http://127.0.0.1* | http://localhost*)
            if command -v curl >/dev/null; then
                curl -fsSL --proto-redir '=https' -o "$work/$1" "$from/$1"
            else
                wget -q -O "$work/$1" "$from/$1"
            fi ;;
        /*) cp "$from/$1" "$work/$1" ;;
        *) fail "$from is neither an https:// address nor a folder" ;;
    esac
}

fetch SHA256SUMS || fail "there is no release at $from"
if [ -n "${FERROSWITCH_SIGNER:-}" ]; then
    fetch SHA256SUMS.sig || fail "the release is not signed"
    printf 'release %s\n' "$FERROSWITCH_SIGNER" >"$work/signers"
    ssh-keygen -q -Y verify -f "$work/signers" -I release -n ferroswitch-release -s "$work/SHA256SUMS.sig" <"$work/SHA256SUMS" >/dev/null ||
        fail "the signature is not by that key"
fi
pattern="ferroswitch-${FERROSWITCH_VERSION:-[0-9][0-9.]*}-$(uname -m)\\.tar\\.gz"
archive=$(sed -n "s/^[0-9a-f]\\{64\\}  \\($pattern\\)\$/\\1/p" "$work/SHA256SUMS")
case $archive in
    '') fail "no archive for $(uname -m) in $from" ;;
    *"
"*) fail "several versions: FERROSWITCH_VERSION says which" ;;
esac
fetch "$archive" || fail "$archive cannot be fetched"
(cd "$work" && grep "  $archive\$" SHA256SUMS | sha256sum -c --quiet -) || fail "$archive is not what was published"
tar -xzf "$work/$archive" -C "$work" --no-same-owner
tree=$work/${archive%.tar.gz}

for program in ferroswitch fs_cli; do
    install -D -m 755 "$tree/bin/$program" "$root$prefix/bin/$program"
    install -D -m 644 "$tree/completion/$program" "$root$prefix/share/bash-completion/completions/$program"
done
if [ ! -e "$root/etc/ferroswitch" ]; then
    mkdir -p "$root/etc"
    cp -r "$tree/conf" "$root/etc/ferroswitch"
    chmod -R o-rwx "$root/etc/ferroswitch"
fi
install -D -m 644 "$tree/ferroswitch.service" "$root/lib/systemd/system/ferroswitch.service"
if [ -z "$root" ] && [ "$(id -u)" = 0 ]; then
    id ferroswitch >/dev/null 2>&1 || useradd -r -d /var/lib/ferroswitch ferroswitch
    chown -R root:ferroswitch /etc/ferroswitch
fi
echo "ferroswitch is in $root$prefix/bin; systemctl enable --now ferroswitch starts it"
