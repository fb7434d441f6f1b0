"""What a node may choose about its engine; the same for its whole life."""

from dataclasses import dataclass, field

from handshake.authentication import mesh_id, mesh_psk
from handshake.secret import Secret
from mesh import constants


@dataclass(frozen=True, slots=True)
class Settings:
    """`mesh`: the mesh's name. `mesh_secret`: 32 bytes or None. `suites`: in our preference.

    `window_bytes`: room promised to each peer. `max_message_bytes`: of one encoded message, and
    room for a peer's large ones together.
    `rekey_after_seconds`: interval between fresh exchanges. `max_peers`: with sessions at a time.
    `instance`: 16 random bytes, one run. Raises ValueError for one of another length.
    """

    instance: bytes
    mesh: str = "default"
    mesh_secret: bytes | None = field(default=None, repr=False)
    suites: tuple[str, ...] = ("ChaChaPoly",)
    window_bytes: int = 4 * 1024 * 1024
    max_message_bytes: int = 64 * 1024 * 1024
    rekey_after_seconds: float = constants.REKEY_AFTER_SECONDS
    max_peers: int = 1024

    mesh_id: bytes = field(init=False, repr=False)
    """32 bytes that stand for the mesh in every handshake."""

    psk: bytes = field(init=False, repr=False)
    """What the first handshake message proves knowledge of."""

    def __post_init__(self) -> None:
        if len(self.instance) != constants.INSTANCE_BYTES:
            raise ValueError(f"an instance has {constants.INSTANCE_BYTES} bytes")
        if self.mesh_secret is not None:
            object.__setattr__(self, "mesh_secret", Secret.of(self.mesh_secret))
        object.__setattr__(self, "mesh_id", mesh_id(self.mesh))
        object.__setattr__(self, "psk", mesh_psk(self.mesh_id, self.mesh_secret))
