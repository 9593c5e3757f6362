# The microcontroller's image by the repository's own script: plain rustc, avr-gcc as the linker, no crates.
{
  lib,
  stdenvNoCC,
  pkgsCross,
  python3,
  rustPlatform,
  rustc,
}:
let
  cargo = lib.importTOML ../Cargo.toml;
in
stdenvNoCC.mkDerivation {
  pname = "watchtower-firmware";
  inherit (cargo.package) version;
  src = lib.fileset.toSource {
    root = ../firmware;
    fileset = ../firmware;
  };
  nativeBuildInputs = [
    pkgsCross.avr.stdenv.cc
    python3
    rustc
  ];
  env.RUST_LIBRARY = "${rustPlatform.rustLibSrc}";
  # The script pins the compiler that its simulator's tests have passed on; here the lock file does.
  postPatch = ''
    patchShebangs build
    substituteInPlace build --replace-fail 'version=1.97' 'version=${lib.versions.majorMinor rustc.version}'
  '';
  # Fails when the image is larger than the flash or the RAM allows.
  buildPhase = ''
    runHook preBuild
    ./build "$out"
    runHook postBuild
  '';
  dontInstall = true;
  dontFixup = true;
  meta = {
    description = "Firmware of Watchtower's ATtiny84A: light, light sensor and servo";
    license = lib.licenses.mit;
  };
}
