"""What of a face is skin: the network of `deca.networks.skin_map`, its pictures and its training."""
