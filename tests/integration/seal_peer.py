"""The other side of sealed uploads, by Python's `cryptography` and the description in upload-format.md alone.

keys BITS FOLDER        an RSA key in every form that is read, and keys of other kinds
seal PUBLIC IN OUT      as 1.x's writer did
unseal PRIVATE IN OUT   by the description
unseal-1x PRIVATE IN OUT   as 1.x's reader did: the token begins one byte early
"""

import base64
import datetime
import sys
from pathlib import Path

from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
PKCS1 = serialization.PrivateFormat.TraditionalOpenSSL
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
OAEP = padding.OAEP(mgf=padding.MGF1(algorithm=hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
PLAIN = serialization.NoEncryption()
LOCKED = serialization.BestAvailableEncryption(b"correct horse")


def keys(bits, folder):
    folder = Path(folder)
    key = rsa.generate_private_key(public_exponent=65537, key_size=int(bits))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "owner")])
    now = datetime.datetime(2020, 1, 1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    curve, edwards = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    for file, pem in {
        "public.pem": key.public_key().public_bytes(PEM, SPKI),
        "public-pkcs1.pem": key.public_key().public_bytes(PEM, serialization.PublicFormat.PKCS1),
        "certificate.pem": certificate.public_bytes(PEM),
        "private.pem": key.private_bytes(PEM, PKCS8, PLAIN),
        "private-pkcs1.pem": key.private_bytes(PEM, PKCS1, PLAIN),
        "private-locked.pem": key.private_bytes(PEM, PKCS8, LOCKED),
        "private-locked-old.pem": key.private_bytes(PEM, PKCS1, LOCKED),
        "ec.pem": curve.public_key().public_bytes(PEM, SPKI),
        "ec-private.pem": curve.private_bytes(PEM, PKCS8, PLAIN),
        "ec-private-sec1.pem": curve.private_bytes(PEM, PKCS1, PLAIN),
        "ed25519.pem": edwards.public_key().public_bytes(PEM, SPKI),
    }.items():
        (folder / file).write_bytes(pem)


def seal(public, source, target):
    public = serialization.load_pem_public_key(Path(public).read_bytes())
    key = Fernet.generate_key()
    wrapped = base64.b64encode(public.encrypt(key, OAEP))
    token = Fernet(key).encrypt(Path(source).read_bytes())
    Path(target).write_bytes(str(len(wrapped)).encode() + b" " + wrapped + token)


def unseal(private, source, target, early=0):
    private = serialization.load_pem_private_key(Path(private).read_bytes(), None)
    length, rest = Path(source).read_bytes().split(b" ", 1)
    length = int(length)
    key = private.decrypt(base64.b64decode(rest[:length]), OAEP)
    Path(target).write_bytes(Fernet(key).decrypt(rest[length - early :]))


def main(command, *arguments):
    if command == "unseal-1x":
        unseal(*arguments, early=1)
    else:
        {"keys": keys, "seal": seal, "unseal": unseal}[command](*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
