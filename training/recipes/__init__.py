"""Command-line recipes of rec_gen, one TOML file each."""
