"""A self-signed certificate: for a try, or for users who compare fingerprints."""

import datetime
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.bounds import SELFSIGNED_DAYS
from app.database.disk import make_private_folder, open_private, sync
from app.errors import StartRefused
from app.values.addresses import parse_host

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 (where a server listens, and no client connects)
_CLOCK_SKEW = datetime.timedelta(hours=1)  # between this machine and its clients


def make_certificate(hosts: Iterable[str]) -> tuple[bytes, bytes, str]:
    """Return a certificate for hosts, its key, both in PEM, and its fingerprint."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Greenroom")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=SELFSIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName(map(_general_name, hosts)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
    )


def write_files(contents: dict[Path, bytes], *, is_forced: bool) -> None:
    """Write files that no other user can read. Raises StartRefused, before any is changed."""
    for path in contents:
        if path.exists() and not is_forced:
            raise StartRefused(f"{path} exists; --force replaces it")
    try:
        for path, content in contents.items():
            make_private_folder(path.parent)
            new = path.with_name(f"{path.name}.new")
            new.unlink(missing_ok=True)
            with open(new, "xb", opener=open_private) as file:
                file.write(content)
            sync(new)
            new.rename(path)
            sync(path.parent)
    except OSError as error:
        raise StartRefused(f"can't write {error.filename}: {error.strerror}") from error


def parse_hosts(texts: Iterable[str]) -> list[str]:
    """Return a certificate's hosts from texts like `a, https://b:8888`.

    Raises StartRefused.
    """
    hosts = []
    for text in (each for texts_of_one in texts for each in texts_of_one.split(",")):
        try:
            host = parse_host(text)
        except ValueError as error:
            raise StartRefused(f"{text} is neither a name of a host nor an address") from error
        if host in _ANY_ADDRESS:
            raise StartRefused(f"{host} is no address that a client uses; name the machine's own")
        hosts.append(host)
    return hosts


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
