"""How the head looks: the photo unwrapped into its texture, and paint where the photo shows nothing."""

from deca.appearance.texture import SIZES, Texture, unwrap_photo

__all__ = ["SIZES", "Texture", "unwrap_photo"]
