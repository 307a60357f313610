"""Callers that show a certificate: which principal it names. Pure.

The TLS library has verified it when it comes here: by the authorities for clients, for a client's
use, and by its dates. What is left is the name. A connection that has shown one is that principal
and nobody else: a signature on it has to be of the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509

from cluster.access.denied import Denied
from cluster.access.fields import NAME
from cluster.access.principals import CERTIFICATE, AccessKey, Principal, Principals
from cluster.access.signatures import refusals
from cluster.access.signatures.verification import Verified, checked_again

REMEMBERED_MAX = 1024
"""Certificates that were read, some 200 bytes each: gRPC shows one with every call."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """``name``: the principal's; "" for a certificate that names none, or more than one.
    ``not_after``: seconds since the epoch."""

    name: str
    not_after: float

    @property
    def key(self) -> AccessKey:
        """Stands where others have what they signed with. Nobody can sign with it: no directory
        has it."""
        return AccessKey(CERTIFICATE + self.name, "", self.name)


@lru_cache(REMEMBERED_MAX)
def read(data: bytes) -> Certificate:
    """``data``: DER or PEM, verified."""
    is_pem = data.startswith(b"-----")
    load = x509.load_pem_x509_certificate if is_pem else x509.load_der_x509_certificate
    try:
        found = load(data)
        return Certificate(_name_in(found), found.not_valid_after_utc.timestamp())
    except ValueError:  # of what only a library that is less strict has let pass
        return Certificate("", 0.0)


def _name_in(found: x509.Certificate) -> str:
    """The one name in the subject's alternative names, of hosts and mailboxes; without any, the
    subject's common name. So an authority that gives a certificate two names gives it none here:
    which was meant is not for us to guess."""
    try:
        named = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        names = [str(one.value) for one in common]
    else:
        kinds = (x509.DNSName, x509.RFC822Name)
        names = [name for kind in kinds for name in named.get_values_for_type(kind)]
    # A name that no principal can have is none: the cluster's own programs have such a one.
    return names[0] if len(names) == 1 and NAME.fullmatch(names[0]) else ""


def verified_by(shown: Certificate, principals: Principals, now: float) -> Verified:
    """Who has shown it. ``now``: seconds since the epoch. Denied: nobody of that name may call, or
    it has expired meanwhile."""
    if not shown.name:
        raise refusals.unknown_key()
    nobody = Principal(shown.name, "")
    return checked_again(Verified(nobody, shown.key, 0, (), shown.not_after, 0), principals, now)


def check_same(shown: Certificate, signed: Verified, principals: Principals, now: float) -> None:
    """Denied: the signature on a connection with this certificate is of another principal. A
    session that a principal has taken for itself is the same one; a role is not."""
    if verified_by(shown, principals, now).principal.arn != signed.principal.arn:
        raise of_another()


def of_another() -> Denied:
    return refusals.invalid(
        "The certificate of this connection is another principal's than the signature."
    )
