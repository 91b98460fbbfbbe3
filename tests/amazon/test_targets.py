"""A target is whole or as it was before, on a disk and in a store."""

from __future__ import annotations

import errno
import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec  # type: ignore[import-untyped] # because it has no types
import pytest
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped] # because it has no types
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped] # because it has no types
from upath import UPath

from airflow_provider_lwa.amazon.errors import ConfigurationError, DocumentError
from airflow_provider_lwa.amazon.targets import Output, place, temporary, writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_lwa.amazon.targets import StoredPath


class Bucket(MemoryFileSystem):  # type: ignore[misc] # because fsspec has no types
    """A store like the large ones: what was uploaded appears when the file is closed, even by an error."""

    protocol = "bucket"
    cachable = False
    block_sizes: list[int]
    full = False

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **_options: Any) -> Any:
        if mode == "rb":
            return super()._open(path, mode)
        self.block_sizes.append(block_size or 0)
        return Upload(self, path, mode)


class Upload(fsspec.spec.AbstractBufferedFile):  # type: ignore[misc] # because fsspec has no types
    """A file on its way into the bucket."""

    def _upload_chunk(self, final: bool = False) -> bool:  # noqa: FBT001, FBT002 - because fsspec calls it so
        if self.fs.full and self.tell():
            raise OSError(errno.ENOSPC, "No space left on device")
        if final:
            self.fs.pipe_file_whole(self.path, self.buffer.getvalue())
        return not final


def pipe_file_whole(bucket: Bucket, path: str, data: bytes) -> None:
    """Put an object into the bucket."""
    with MemoryFileSystem._open(bucket, path, "wb") as file:
        file.write(data)


Bucket.pipe_file_whole = pipe_file_whole


class Server(LocalFileSystem):  # type: ignore[misc] # because fsspec has no types
    """A store with real folders, as behind SFTP."""

    protocol = "server"


@pytest.fixture
def bucket() -> Bucket:
    """:return: An empty bucket."""
    new = Bucket(global_store=False, skip_instance_cache=True)
    new.block_sizes = []
    return new


class Stored:
    """A file in a store, as Airflow's ObjectStoragePath shows it."""

    def __init__(self, fs: Any, path: str) -> None:
        self.fs = fs
        self.path = path

    def __str__(self) -> str:
        return f"bucket://conn@{self.path}"


@pytest.fixture
def stored(bucket: Bucket) -> StoredPath:
    """:return: A file that is not there yet, in the bucket."""
    return Stored(bucket, "/reports/out.tsv")


@pytest.fixture(params=["Path", "str", "file", "memory", "bucket", "server"])
def target(request: pytest.FixtureRequest, tmp_path: Path, bucket: Bucket) -> Iterator[Any]:
    """:return: A file that is not there yet, nor its folder."""
    local = tmp_path / "a" / "b" / "out.tsv"
    memory = UPath("memory://a/b/out.tsv")
    yield {
        "Path": local,
        "str": str(local),
        "file": UPath(local.as_uri()),
        "memory": memory,
        "bucket": Stored(bucket, "/a/b/out.tsv"),
        "server": Stored(Server(), str(local)),
    }[request.param]
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def write(target: Any, *pieces: bytes, tabular: bool = True) -> Output:
    """:return: The accounts of a file put in place."""
    final = place(target)
    with temporary(final) as part:
        output = Output.of(pieces, part, tabular=tabular)
        part.replace(final)
    return output


def found(target: Any) -> dict[str, bytes]:
    """:return: All files around a target, with their contents."""
    if hasattr(target, "fs"):
        folder = target.path.rpartition("/")[0]
        names = target.fs.find(folder) if target.fs.exists(folder) else []
        return {name.rpartition("/")[2]: target.fs.cat_file(name) for name in names}
    return {path.name: path.read_bytes() for path in Path(target).parent.glob("*")}


def test_a_file_takes_its_place_whole(target: Any) -> None:
    """Folders are made, nothing else is left beside it; a second one replaces the first."""
    write(target, b"old\n", b"row\n")

    output = write(target, b"new\n", b"", b"row")

    assert found(target) == {"out.tsv": b"new\nrow"}
    assert (output.size, output.rows) == (7, 1)


@pytest.mark.parametrize("failure", [DocumentError("cut"), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_a_failure_leaves_what_was_there(target: Any, failure: BaseException) -> None:
    """Half a file never shows, nor does its temporary name stay."""
    write(target, b"old\n")

    def half() -> Iterator[bytes]:
        yield b"new\n"
        raise failure

    with pytest.raises(type(failure)), temporary(place(target)) as part:
        Output.of(half(), part, tabular=True)

    assert found(target) == {"out.tsv": b"old\n"}


def test_the_target_is_absent_while_it_is_written(target: Any) -> None:
    """Who looks meanwhile sees a hidden name only, which tells whose it is."""
    with temporary(place(target)) as part:
        Output.of([b"half"], part, tabular=False)

        (name,) = found(target)

    assert name.startswith(".out.tsv.")
    assert name.endswith(".part")
    assert found(target) == {}


@pytest.mark.parametrize("name", ["[a]*?.tsv", "ü" * 120, ".hidden", "a b#c%20.tsv"])
def test_any_name_will_do(tmp_path: Path, bucket: Bucket, name: str) -> None:
    """Also one that is long, or would be taken for a pattern by the store."""
    write(tmp_path / name, b"row\n")
    write(Stored(bucket, f"/reports/{name}"), b"row\n")

    assert found(tmp_path / name) == {name: b"row\n"}
    assert found(Stored(bucket, f"/reports/{name}")) == {name: b"row\n"}


def test_names_at_the_top_of_a_store_will_do() -> None:
    """There is no folder to make."""
    path = UPath("memory://out.tsv")
    write(path, b"row\n")

    assert path.fs.cat_file("/out.tsv") == b"row\n"
    path.fs.rm_file("/out.tsv")


def test_a_store_keeps_little_in_memory(bucket: Bucket, stored: StoredPath) -> None:
    """Stores hold a block before they send it; ours is of 8 MiB, where some default to 50."""
    write(stored, b"row\n")

    assert set(bucket.block_sizes) == {8 * 2**20}


@pytest.mark.parametrize(
    "target", ["s3://bucket/out.tsv", "file:///tmp/out.tsv", Path("s3://bucket/out.tsv")]
)
def test_an_address_in_a_store_is_no_path(target: str | Path) -> None:
    """It would make a folder called ``s3:`` on the worker."""
    with pytest.raises(ConfigurationError, match="as an ObjectStoragePath"):
        place(target)


def test_a_folder_is_no_file(tmp_path: Path, bucket: Bucket) -> None:
    """It is noticed before anything is written."""
    for folder in (tmp_path, str(tmp_path), "/", UPath(tmp_path.as_uri()), Stored(bucket, "/reports/")):
        with pytest.raises(ConfigurationError, match="is a folder"):
            place(folder)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Before anything is downloaded; the error is about the target, not about the temporary name."""
    (tmp_path / "file").touch()
    final = tmp_path / "file" / "out.tsv"

    with pytest.raises(ConfigurationError) as caught, temporary(place(final)):
        pytest.fail("this cannot be reached")

    assert caught.value.message == f"Cannot write to {final}: Not a directory."
    assert caught.value.advice == "Check the path and the permissions; nothing was downloaded."


def test_a_store_that_cannot_be_had_is_named() -> None:
    """Airflow looks for it when a path is first used; then a package may be missing."""

    class Missing:
        @property
        def fs(self) -> Any:
            raise ImportError("Airflow FS S3 protocol requires the s3fs library")

        def __str__(self) -> str:
            return "s3://bucket/out.tsv"

    with pytest.raises(ConfigurationError, match=r"Cannot write to s3://bucket/out\.tsv: .* s3fs library\."):
        place(Missing())  # type: ignore[arg-type] # because its path is never reached


def test_a_store_that_refuses_is_noticed_before_anything_is_downloaded(stored: StoredPath) -> None:
    """An empty file is put there first: opening one asks most stores nothing."""

    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise LookupError

    stored.fs._open = refuse

    with pytest.raises(ConfigurationError, match=r"Cannot write to /reports/out\.tsv: LookupError"):
        write(stored, b"row\n")


def test_a_full_disk_is_an_error_of_ours(bucket: Bucket, stored: StoredPath) -> None:
    """It names the file, and leaves what was there."""
    write(stored, b"old\n")
    bucket.full = True

    with pytest.raises(DocumentError, match=r"Writing .*failed: No space left on device"):
        write(stored, b"x" * 9_000_000)

    assert found(stored) == {"out.tsv": b"old\n"}


def test_an_error_of_the_store_without_a_text_has_a_name() -> None:
    """Some stores raise bare exceptions."""
    with pytest.raises(DocumentError, match=r"Writing x failed: TimeoutError\."), writing(Path("x")):
        raise TimeoutError


def test_a_temporary_file_that_cannot_be_removed_hides_no_error(tmp_path: Path) -> None:
    """The first error is the one that is told."""
    final = tmp_path / "out.tsv"

    def fail() -> None:
        with temporary(place(final)) as part:
            part.unlink()
            Path(str(part)).mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert not final.exists()


def test_bytes_have_no_rows(tmp_path: Path) -> None:
    """Rows are counted where lines are rows."""
    assert write(tmp_path / "x", b"a\nb\n", tabular=False).rows is None


def test_a_local_file_gets_the_usual_permissions(tmp_path: Path) -> None:
    """Other users may read it as far as the umask lets them; a private temporary file would stay private."""
    before = os.umask(0o027)
    try:
        write(tmp_path / "x", b"a")
    finally:
        os.umask(before)

    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


@pytest.mark.airflow
def test_airflows_object_storage_is_a_store(tmp_path: Path) -> None:
    """Its paths work on a disk and in a store, and keep their connection id out of the way."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    try:
        attach = importlib.import_module("airflow.sdk.io").attach
    except ModuleNotFoundError:
        attach = importlib.import_module("airflow.io.store").attach  # Airflow 2
    memory = MemoryFileSystem(global_store=False, skip_instance_cache=True)
    attach("memory", conn_id="aws_default", fs=memory)
    local = ObjectStoragePath((tmp_path / "a" / "out.tsv").as_uri())
    remote = ObjectStoragePath("memory://aws_default@reports/out.tsv")

    write(local, b"row\n")
    write(remote, b"row\n")

    assert (tmp_path / "a" / "out.tsv").read_bytes() == b"row\n"
    assert memory.find("/") == ["/reports/out.tsv"]
    with pytest.raises(ConfigurationError, match="No filesystem registered for scheme memory"):
        place(ObjectStoragePath("memory://other@reports/out.tsv"))
