#!/usr/bin/env python3
"""Reads backups of offsite by docs/format.md alone: Python's standard library, openssl for Ed25519, and stock age.

    check.py [DIRECTORY]                                  checks the test vectors, here or in that directory
    check.py TARGET OBJECT VERIFIER-KEY IDENTITY-FILE     checks one backup below a directory, and writes its dump to standard output
"""
import base64, hashlib, hmac, json, os, re, subprocess, sys, tempfile
from urllib.parse import unquote


class Refused(Exception):
    """The first argument is the vectors' word for why."""


def verifier(key):
    """name+hash+base64: the hash is the beginning of SHA-256 over name, line end, 0x01 and the Ed25519 public key."""
    name, short, b64 = key.strip().split("+", 2)
    raw = base64.b64decode(b64)
    if raw[0] != 1 or len(raw) != 33 or hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4].hex() != short:
        raise ValueError("not a verifier key: " + key)
    return name, bytes.fromhex(short), raw[1:]


def signed(public, text, signature):
    with tempfile.TemporaryDirectory() as tmp:
        def put(name, content):
            with open(os.path.join(tmp, name), "wb") as f:
                f.write(content)
            return f.name
        der = bytes.fromhex("302a300506032b6570032100") + public  # RFC 8410: what openssl wants around the 32 bytes
        return subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", put("key", der), "-rawin",
                               "-in", put("text", text), "-sigfile", put("sig", signature)], capture_output=True).returncode == 0


def open_note(note, key):
    """The text of a signed note."""
    name, short, public = verifier(key)
    text, sep, lines = note.rpartition(b"\n\n")
    if not sep or not lines.startswith("— ".encode()):
        raise Refused("unsigned")
    text += b"\n"
    for line in lines.decode().splitlines():
        _, who, b64 = line.split(" ")
        raw = base64.b64decode(b64)
        if who == name and raw[:4] == short:
            if not signed(public, text, raw[4:]):
                raise Refused("signature")
            return text
    raise Refused("signer")


def age_open(path_or_bytes, identity):
    given = path_or_bytes if isinstance(path_or_bytes, bytes) else None
    files = [] if given is not None else [path_or_bytes]
    return subprocess.run(["age", "-d", "-i", identity] + files, input=given, capture_output=True, check=True).stdout


def backup(place, obj, key, identity):
    """The manifest, what is sealed in it, and the dump of a backup; Refused if anything is not as the host signed it."""
    with open(os.path.join(place, obj + ".manifest"), "rb") as f:
        m = json.loads(open_note(f.read(), key))
    if m["format"] != "offsite/1":
        raise Refused("format")
    host, series, last = obj.split("/")
    if m["object"] != obj:
        raise Refused("name")
    taken = re.sub(r"[-:]", "", m["taken"])
    if (m["host"], m["series"], taken) != (unquote(host), unquote(series), last.split("_")[0]):
        raise Refused("fields")
    if len(m["blocks"]) != -(-m["stored"] // m["block_size"]):
        raise Refused("sizes")
    data = os.path.join(place, obj)
    if os.path.getsize(data) != m["stored"]:
        raise Refused("data")
    with open(data, "rb") as f:
        for want in m["blocks"]:
            if hashlib.sha256(f.read(m["block_size"])).hexdigest() != want:
                raise Refused("data")
    sealed = json.loads(age_open(base64.b64decode(m["sealed"]), identity))
    dump = age_open(data, identity)
    if len(dump) != m["size"] or hashlib.sha256(dump).hexdigest() != sealed["sha256"]:
        raise Refused("data")
    return m, sealed, dump


def fingerprint(signing_key, sha256):
    """What the host, and nobody else, can make of a dump's SHA-256: HKDF of its secret key's line, then HMAC with a label."""
    prk = hmac.new(bytes(32), signing_key.encode(), hashlib.sha256).digest()
    mac = hmac.new(prk, b"offsite fingerprint\x01", hashlib.sha256).digest()
    return hmac.new(mac, b"4 dump" + bytes.fromhex(sha256), hashlib.sha256).hexdigest()


def check(here):
    def read(name):
        with open(os.path.join(here, name), encoding="utf-8") as f:
            return f.read()
    wrong = 0
    for v in json.loads(read("vectors.json")):
        try:
            m, sealed, dump = backup(os.path.join(here, v["place"]), v["object"], read("trust.txt"), os.path.join(here, "identity.txt"))
            got = "ok"
            same = (v["name"], v["series"], v["size"], v["sha256"]) == (m["name"], m["series"], len(dump), hashlib.sha256(dump).hexdigest())
            if not same or m["fingerprint"] != fingerprint(read("signing.key").split()[0], sealed["sha256"]):
                got = "ok, but another dump"
        except Refused as why:
            got = why.args[0]
        wrong += got != v["want"]
        print(v["place"], v["object"], got, "as it should be" if got == v["want"] else "WRONG, want " + v["want"])
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) == 5:
        try:
            sys.stdout.buffer.write(backup(*sys.argv[1:])[2])
        except Refused as why:
            sys.exit("refused: " + why.args[0])
    else:
        sys.exit(check(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))))
