"""What an object store's refusal means, and what to do about it.

The messages of obstore quote addresses and answers, and an address may be signed: of all that, only the store's code is
passed on.
"""

from __future__ import annotations

import re

from core.errors import PermanentError, SourceUnavailable
from core.extract.location import Location
from core.extract.source import bad_status, no_such_name, untrusted

UNCHANGED, CHANGED, PAST_END = "unchanged", "changed", "past the end"
NO_OBJECT, FORBIDDEN = "no such object", "403"
"""The reasons for which there is no block, and which are answers. FORBIDDEN is also what a store says of an object that
does not exist, to those who may not list the bucket."""

_CODE = r"""(?:<Code>|"error":\s*")([A-Za-z_.]{1,60})\b"""
"""What a store calls an error: in XML, or in JSON where it exchanges keys for tokens."""

_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")

_ELSEWHERE = ("AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect")

_REMEDIES = {
    "ExpiredToken": "the key has expired: get a new one",
    "TokenRefreshRequired": "the key has expired: get a new one",
    "InvalidToken": "the session token does not belong to the key: get new ones",
    "InvalidAccessKeyId": "the store does not know this key: check it",
    "SignatureDoesNotMatch": "the secret does not belong to the key: check both",
    "RequestTimeTooSkewed": "set the clock of this machine",
    "invalid_grant": "the key is not accepted any more: get a new one",
    "invalid_client": "the key is not accepted any more: get a new one",
}
"""What to do, by the store's code, where the status (400 or 403) says less."""

_OWN_KEY = r"/latest/(api/token|meta-data)|/computeMetadata/|/metadata/identity/"
"""Where a machine in a cloud finds a key of its own. obstore asks there when the environment has none."""


def reason(location: Location, label: str, error: Exception) -> str:
    """Return why there is no block, as one of the words above, when that is an answer; raise the error otherwise."""
    import obstore.exceptions as kinds

    text = str(error)
    status = int(found[1]) if (found := re.search(r"status code: (\d{3})", text)) else None
    code = found[1] if (found := re.search(_CODE, text)) else ""
    if isinstance(error, kinds.NotModifiedError):
        return UNCHANGED
    if isinstance(error, kinds.PreconditionError):
        return CHANGED
    if status == 416 or "Wanted range starting at" in text:
        return PAST_END
    if status == 404 and code not in _NO_BUCKET:
        return NO_OBJECT
    if status == 403 and code == "AccessDenied":
        return FORBIDDEN
    raise _refusal(location, label, text, status, code) from None


def _refusal(
    location: Location, label: str, text: str, status: int | None, code: str
) -> PermanentError | SourceUnavailable:
    root, variables = location.root, location.variables
    if code in _NO_BUCKET:
        return PermanentError(f"{root}: there is no such bucket ({code}); check --source")
    if re.search(_OWN_KEY, text):
        profile = ", or name a profile in AWS_PROFILE" if location.scheme == "s3" else ""
        return PermanentError(f"{label}: the environment has no key for it; set {variables}*{profile}")
    if found := re.search(r"InvalidCertificate\(\s*(\w+)", text):
        return untrusted(root, found[1])
    if code in _ELSEWHERE or "redirect without LOCATION" in text or status in (301, 307):
        return _elsewhere(location, text, code or "301 PermanentRedirect")
    if status in (401, 403) or code in _REMEDIES:
        return forbidden(location, label, code or str(status))
    if status is not None:
        return bad_status(status, label, code)
    if "BadScheme" in text:
        return PermanentError(
            f"{root}: its endpoint is http, not https; if that is right, set {variables}ALLOW_HTTP=true"
        )
    if '"dns error"' in text:
        return no_such_name(label, "the store's name", f"--source and {variables}*")
    if "ConnectionRefused" in text:
        return SourceUnavailable(f"{label}: the store refuses connections; check {variables}*, and that it runs")
    if "HTTP error" in text:
        return SourceUnavailable(f"{label}: the store did not answer")
    return PermanentError(f"{label}: what answered is no such store; check {variables}*")


def _elsewhere(location: Location, text: str, code: str) -> PermanentError:
    variable = f"{location.variables}REGION"
    region = re.search(r"<Region>([a-z0-9-]{1,40})</Region>", text)
    remedy = f"set {variable}={region[1]}" if region else f"check {variable}"
    return PermanentError(f"{location.root} is in another region ({code}); {remedy}")


def forbidden(location: Location, label: str, code: str) -> PermanentError:
    """Return the error for an object that the key may not read."""
    remedy = _REMEDIES.get(code, "check the key and its rights")
    return PermanentError(f"{label}: not allowed ({code}); {remedy} ({location.variables}*)")
