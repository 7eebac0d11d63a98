"""Compression of bodies under Celery's names and content types, and decompression that cannot be made to explode."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any

from skirret.errors import DecodeError, EncodeError, ImproperlyConfigured, MissingDependency
from skirret.serializers.limits import MAX_BYTES

# Content type by name and alias, as kombu registers them. What kombu calls gzip is a zlib stream.
_TYPES = {
    "gzip": "application/x-gzip",
    "zlib": "application/x-gzip",
    "bzip2": "application/x-bz2",
    "bzip": "application/x-bz2",
    "lzma": "application/x-lzma",
    "xz": "application/x-lzma",
    "zstd": "application/zstd",
    "zstandard": "application/zstd",
    "brotli": "application/x-brotli",
}
# The decoder of preset 9 needs 65 MiB; a header may ask for 4 GiB.
_LZMA_MEMORY = 72 * 1024 * 1024
_ZSTD_WINDOW_LOG = 25


def names() -> list[str]:
    """Names of compression methods, aliases included."""
    return sorted(_TYPES)


def content_type(method: str) -> str:
    """The content type of a method's name, alias or content type.

    Raises:
        ImproperlyConfigured: nobody knows it.
    """
    if method in _CODECS:
        return method
    try:
        return _TYPES[method]
    except KeyError:
        raise ImproperlyConfigured(f"no compression {method!r}. Known: {', '.join(names())}") from None


def compress(body: bytes, method: str) -> tuple[bytes, str]:
    """`body` compressed, and the content type that names how.

    Args:
        body: any bytes.
        method: one of ``names()`` or a content type of theirs.

    Raises:
        ImproperlyConfigured: unknown method, or its library is not installed.
        EncodeError: the library refuses.
    """
    kind = content_type(method)
    try:
        return _CODECS[kind][0](body), kind
    except ImproperlyConfigured:
        raise
    except Exception as exc:
        raise EncodeError(f"cannot compress with {method}: {exc}") from exc


def decompress(body: bytes, content_type: str, max_bytes: int = MAX_BYTES) -> bytes:
    """`body` decompressed, at most `max_bytes` of it being ever made.

    Args:
        body: one compressed stream.
        content_type: as ``compress`` gave it; Celery's method names are taken too.
        max_bytes: the largest result.

    Raises:
        DecodeError: unknown type, damaged stream, trailing bytes, or more than `max_bytes`.
    """
    codec = _CODECS.get(_TYPES.get(content_type, content_type))
    if codec is None:
        raise DecodeError(f"unknown compression {content_type[:64]!r}")
    try:
        out = codec[1](body, max_bytes)
    except (DecodeError, MissingDependency) as exc:
        raise DecodeError(str(exc)) from exc
    except Exception as exc:
        raise DecodeError(f"cannot decompress {content_type}: {type(exc).__name__}: {str(exc)[:200]}") from exc
    if len(out) > max_bytes:
        raise DecodeError(f"refused: decompresses to more than {max_bytes} bytes")
    return out


def _stream(decompressor: Any, body: bytes, max_bytes: int) -> bytes:
    """Drive a decompressor of the standard library's kind over one stream."""
    out: bytes = decompressor.decompress(body, max_bytes + 1)
    # The last bytes of a stream may need one more call, which yields no data.
    while len(out) <= max_bytes and not decompressor.eof and not decompressor.needs_input:
        out += decompressor.decompress(b"", max_bytes + 1 - len(out))
    if len(out) <= max_bytes:
        _complete(decompressor.eof, decompressor.unused_data)
    return out


def _complete(ended: bool, unused: bytes) -> None:
    if not ended:
        raise DecodeError("the compressed stream is cut short")
    if unused:
        raise DecodeError("bytes follow the compressed stream")


def _unzip(body: bytes, max_bytes: int) -> bytes:
    # 47: a zlib or a gzip header.
    decompressor = zlib.decompressobj(47)
    out = decompressor.decompress(body, max_bytes + 1)
    if len(out) <= max_bytes:
        out += decompressor.flush() if not decompressor.eof and not decompressor.unconsumed_tail else b""
        _complete(decompressor.eof, decompressor.unused_data)
    return out


def _bz2() -> Any:
    return importlib.import_module("bz2")


def _lzma() -> Any:
    return importlib.import_module("lzma")


def _unlzma(body: bytes, max_bytes: int) -> bytes:
    return _stream(_lzma().LZMADecompressor(memlimit=_LZMA_MEMORY), body, max_bytes)


def _brotli() -> Any:
    try:
        return importlib.import_module("brotli")
    except ImportError:
        raise MissingDependency('brotli compression needs the library brotli: pip install "brotli>=1.2"') from None


def _unbrotli(body: bytes, max_bytes: int) -> bytes:
    decompressor = _brotli().Decompressor()
    if not hasattr(decompressor, "can_accept_more_data"):
        raise DecodeError("the installed brotli cannot bound its output: pip install 'brotli>=1.2'")
    out: bytes = decompressor.process(body, output_buffer_limit=max_bytes + 1)
    while len(out) <= max_bytes and not decompressor.is_finished():
        piece = decompressor.process(b"", output_buffer_limit=max_bytes + 1 - len(out))
        if not piece and decompressor.can_accept_more_data():
            raise DecodeError("the compressed stream is cut short")
        out += piece
    return out


def _zstd() -> Any:
    """The standard library's zstd (3.14), its backport, or the library zstandard."""
    for name in ("compression.zstd", "backports.zstd", "zstandard"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise MissingDependency('zstd compression needs Python 3.14 or a library: pip install "skirret[zstd]"')


def _unzstd(body: bytes, max_bytes: int) -> bytes:
    zstd = _zstd()
    if hasattr(zstd, "DecompressionParameter"):
        options = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        return _stream(zstd.ZstdDecompressor(options=options), body, max_bytes)
    size = zstd.frame_content_size(body)
    if size > max_bytes:
        raise DecodeError(f"refused: decompresses to more than {max_bytes} bytes")
    decompressor = zstd.ZstdDecompressor(max_window_size=1 << _ZSTD_WINDOW_LOG)
    if size >= 0:
        out: bytes = decompressor.decompress(body, max_output_size=max_bytes, allow_extra_data=False)
        return out
    with decompressor.stream_reader(body, read_across_frames=False) as reader:
        read: bytes = reader.read(max_bytes + 1)
        return read


_Codec = tuple[Callable[[bytes], bytes], Callable[[bytes, int], bytes]]
_CODECS: dict[str, _Codec] = {
    "application/x-gzip": (zlib.compress, _unzip),
    "application/x-bz2": (
        lambda body: _bz2().compress(body),
        lambda body, max_bytes: _stream(_bz2().BZ2Decompressor(), body, max_bytes),
    ),
    "application/x-lzma": (lambda body: _lzma().compress(body), _unlzma),
    "application/zstd": (lambda body: _zstd().compress(body), _unzstd),
    "application/x-brotli": (lambda body: _brotli().compress(body), _unbrotli),
}
