"""Names that a library does not promise to keep. Each is reached in one file, which names itself here."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version


@contextmanager
def reaching_into(package: str, file: str) -> Iterator[None]:
    """Raise an ``ImportError`` that names the ``file`` to mend where ``package`` lacks what the block reaches."""
    try:
        yield
    except (ImportError, AttributeError) as error:
        message = f"mend {file}: {package} {version(package)} has moved a private name that it reaches ({error})"
        raise ImportError(message) from error


def require_method(owner: type, method: str, *uses: str) -> None:
    """Raise an ``AttributeError`` unless the class has the method, and it, or one that it overrides, ``uses`` the
    names: an attribute of an instance is known by the code that uses it."""
    found = [inspect.unwrap(getattr(parent, method)) for parent in owner.__mro__ if method in vars(parent)]
    if lacks := set(uses).difference(*(function.__code__.co_names for function in found)):
        raise AttributeError(f"{owner.__name__}.{method} uses no {', '.join(sorted(lacks))}")
