"""Puts a host's golden files into a root, with that root's own programs where the texts name the store's. No line of them is changed."""

import re
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent / "golden"


def install(host, root, without=("meta.json", "fstab"), golden=HERE):
    """`without`: names of files and folders that are left out. A program that the root lacks becomes /bin/true; answers these."""
    source, root, lacking = Path(golden) / host, Path(root), []
    shutil.copytree(source, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*without))
    texts = "".join(path.read_text() for path in source.rglob("*") if path.is_file())
    for path in sorted(set(re.findall(r"/nix/store/[\w.+-]+/s?bin/[\w.+-]+", texts))):
        stand_in = root / path.lstrip("/")
        if stand_in.exists() or stand_in.is_symlink():
            continue
        stand_in.parent.mkdir(parents=True, exist_ok=True)
        real = next((f"/usr/{d}/{stand_in.name}" for d in ("bin", "sbin") if (root / "usr" / d / stand_in.name).exists()), None)
        if not real:
            lacking.append(path)
        stand_in.symlink_to(real or "/bin/true")
    (root / "nix/store/mailcap/etc/nginx").mkdir(parents=True, exist_ok=True)
    (root / "nix/store/nginx/conf").mkdir(parents=True, exist_ok=True)
    shutil.copy(root / "etc/nginx/mime.types", root / "nix/store/mailcap/etc/nginx")
    for name in ("fastcgi.conf", "uwsgi_params"):
        shutil.copy(root / "etc/nginx" / name, root / "nix/store/nginx/conf")
    return lacking
