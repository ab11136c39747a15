"""Networks of DECA (E_c, E_d, F_d): in preparation."""
