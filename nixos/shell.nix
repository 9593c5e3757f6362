# What working on Watchtower needs: `nix develop`.
{
  mkShell,
  watchtower,
  avrdude,
  cargo,
  clippy,
  curl,
  deadnix,
  ffmpeg,
  nixfmt-tree,
  nodejs,
  openssl,
  pkgsCross,
  python3,
  rust-analyzer,
  rustc,
  rustfmt,
  statix,
}:
mkShell {
  inputsFrom = [ watchtower ];
  packages = [
    avrdude
    cargo
    clippy
    curl
    deadnix
    ffmpeg
    nixfmt-tree
    nodejs
    openssl
    pkgsCross.avr.stdenv.cc
    (python3.withPackages (ps: [ ps.cryptography ]))
    rust-analyzer
    rustc
    rustfmt
    statix
  ];
}
