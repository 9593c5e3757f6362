# The daemon, by crane: its dependencies once, then the program and the checks that reuse them.
# For another platform call it with that platform's packages: `pkgsCross.aarch64-multiplatform.callPackage`.
{
  craneLib,
  lib,
  stdenv,
  cmake,
  ffmpeg-headless,
  nasm,
  python3,
  rustPlatform,
}:
let
  files = lib.fileset;
  # What cargo reads. Not only Rust: the web app is embedded, tests compare with files and read the documents.
  src = files.toSource {
    root = ../.;
    fileset = files.unions [
      ../.cargo
      ../Cargo.lock
      ../Cargo.toml
      ../build.rs
      ../rustfmt.toml
      ../ancillary/docs
      ../ancillary/watchtower.example.toml
      ../firmware/core
      ../proptest-regressions
      ../src
      (files.fileFilter (file: !file.hasExt "nix") ../tests)
      ../web
    ];
  };
  common = {
    inherit src;
    strictDeps = true;
    # openh264 and turbojpeg are compiled by their crates, with assembly; v4l's bindings need libclang.
    nativeBuildInputs = [
      cmake
      rustPlatform.bindgenHook
    ]
    ++ lib.optional stdenv.hostPlatform.isx86_64 nasm;
    dontUseCmakeConfigure = true;
  };
  cargoArtifacts = craneLib.buildDepsOnly common;
  with' = extra: common // { inherit cargoArtifacts; } // extra;
in
craneLib.buildPackage (with' {
  # The tests are a check of their own.
  doCheck = false;
  passthru = {
    # Those that need no more than files and these programs. Real daemons, proxies and browsers are tests/run's.
    tests = craneLib.cargoTest (with' {
      cargoTestExtraArgs = "--lib --test house";
      nativeCheckInputs = [
        ffmpeg-headless
        python3
      ];
    });
    clippy = craneLib.cargoClippy (with' {
      cargoClippyExtraArgs = "--workspace --all-targets -- -D warnings";
    });
    format = craneLib.cargoFmt { inherit src; };
  };
  meta = {
    description = "A do-it-yourself security camera: motion detection, H.264 recording, live view";
    license = lib.licenses.mit;
    mainProgram = "watchtower";
    platforms = [
      "x86_64-linux"
      "aarch64-linux"
    ];
  };
})
