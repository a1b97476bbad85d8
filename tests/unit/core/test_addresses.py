from __future__ import annotations

import pytest

from nbflow.core.addresses import is_url, local_path, scheme_of, url_fault


@pytest.mark.parametrize(
    "text", ["s3://bucket", "S3A://bucket/x", "abfss://c@account.dfs.core.windows.net/x", "file:///x"]
)
def test_urls(text: str) -> None:
    assert is_url(text)
    assert url_fault(text) is None


@pytest.mark.parametrize(
    "text", ["outputs", "../outputs", "/var/outputs", "C:\\outputs", "C://outputs", "a:b", "//host"]
)
def test_paths_are_no_urls(text: str) -> None:
    assert not is_url(text)


def test_parts() -> None:
    assert scheme_of("S3://bucket/x") == "s3"
    assert local_path("file:///var/my%20outputs") == "/var/my outputs"
    assert local_path("s3://bucket/x") is None


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://x", "gone when nbflow ends"),
        ("https://bucket.s3.amazonaws.com/x", "cannot be written by https"),
        ("s3://AKIAKEY:hunter2@bucket/x", "cannot hold credentials"),
        ("s3://hunter2@bucket/x", "cannot hold credentials"),
        ("sftp://me:hunter2@host/x", "cannot hold credentials"),
        ("s3://bucket/x?key=hunter2", "no query"),
        ("s3://bucket/x#hunter2", "no fragment"),
        ("simplecache::s3://bucket/x", None),
        ("s3://bucket/zip::s3://hunter2", "chained"),
        ("s3://", "bucket is missing"),
        ("s3:///x", "bucket is missing"),
        ("s3://bucket/../x", "no '..'"),
        ("s3://bucket//x", "empty parts"),
        ("s3://bucket/a b", "no spaces"),
        ("file://outputs", "no absolute path"),
    ],
)
def test_faults_show_nothing_secret(url: str, message: str | None) -> None:
    if message is None:
        assert not is_url(url)
        return
    found = url_fault(url)
    assert found is not None
    assert message in found[0]
    assert "hunter2" not in "".join(found)
