"""crypto: cryptography."""

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import ed25519


def use():
    box = Fernet(Fernet.generate_key())
    assert box.decrypt(box.encrypt(b"x")) == b"x"
    key = ed25519.Ed25519PrivateKey.generate()
    key.public_key().verify(key.sign(b"x"), b"x")
