"""Training of the relief network (`deca.networks.relief`): synthetic skin, laid out as the UV map, no rasterising."""
