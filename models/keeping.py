"""Machine code that was kept is read only if it is whole: a damaged file is made again, never run.

Numba unpickles what it finds in its cache. A file that a full disk cut short would end in a traceback, one with a
flipped bit in a crash or in wrong numbers. Here each file of the cache ends with a digest of what stands before it; one
that does not match, or cannot be unpickled, counts as not there, and the kernel is compiled anew.
"""

from __future__ import annotations

from hashlib import blake2b

from numba import njit

__all__ = ["njit"]
_MARK = b"openqueues digest "
_SIZE = 16


def _check_what_is_kept() -> None:
    """Let numba's cache write digests and heed them. Does nothing where a version of numba lacks these methods."""
    from numba.core import caching

    kept = getattr(caching, "IndexDataCacheFile", None)
    if not all(hasattr(kept, name) for name in ("_load_index", "_load_data", "_dump", "_data_path", "save")):
        return
    if hasattr(kept, "_with_digest"):
        return
    dump, load_index, load_data, save = kept._dump, kept._load_index, kept._load_data, kept.save

    def with_digest(self, content) -> bytes:
        data = dump(self, content)
        return data + _MARK + _digest(data)

    def index(self) -> dict:
        try:
            with open(self._index_path, "rb") as file:
                # Numba writes its version first, which the digest does not cover and which it compares itself.
                whole = _whole(file.read(), start=caching.pickle.dumps(self._version, protocol=-1))
            return load_index(self) if whole else {}
        except OSError:
            return {}
        except Exception:  # whatever a pickle of damaged bytes may raise
            return {}

    def data(self, name: str):
        with open(self._data_path(name), "rb") as file:
            whole = _whole(file.read())
        try:
            if whole:
                return load_data(self, name)
        except OSError:
            raise
        except Exception:
            pass
        raise OSError(f"{name} is damaged")  # numba takes this for a file that is not there

    def save_if_there_is_room(self, key, content) -> None:
        try:
            save(self, key, content)
        except OSError:  # a full disk: what was compiled is used, but not kept
            pass

    kept._dump, kept._load_index, kept._load_data, kept.save = with_digest, index, data, save_if_there_is_room
    kept._with_digest = True


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_SIZE).digest()


def _whole(data: bytes, start: bytes = b"") -> bool:
    """Whether a file matches its digest, or has none: unpickling shows whether it was cut short."""
    mark = len(data) - _SIZE - len(_MARK)
    if mark < 0 or data[mark : mark + len(_MARK)] != _MARK:
        return True
    return data[-_SIZE:] == _digest(data[:mark].removeprefix(start))


_check_what_is_kept()
