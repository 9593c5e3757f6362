# What `nix flake check` builds and evaluates.
{
  lib,
  nixos-hardware,
  pkgs,
  self,
}:
let
  inherit (pkgs.stdenv.hostPlatform) system;
  inherit (self.packages.${system}) firmware watchtower;

  # A host with these modules; on a board, or on no machine that ever is.
  evaluate =
    modules: board:
    lib.nixosSystem {
      modules = [
        self.nixosModules.default
        self.nixosModules.fleet-proxy
      ]
      ++ modules
      ++ (
        if board == null then
          [
            ./hosts/common.nix
            { nixpkgs.hostPlatform = "x86_64-linux"; }
          ]
        else
          [
            nixos-hardware.nixosModules.${lib.replaceString "pi" "raspberry-pi-" board}
            ./image
            ./image/${board}.nix
            { nixpkgs.buildPlatform = "x86_64-linux"; }
          ]
      );
    };
  # The hosts of tests/nix/golden. Everything that there is, is on a Raspberry Pi.
  hosts = lib.genAttrs [ "usb" "full" "fleet" "vm" ] (
    name: evaluate [ ./hosts/${name}.nix ] (if name == "full" then "pi4" else null)
  );
  said = name: text: pkgs.writeText "watchtower-${name}" (builtins.unsafeDiscardStringContext text);
in
{
  inherit firmware;
  build = watchtower;
  inherit (watchtower) clippy tests format;

  # The golden files are of this state of the module.
  golden = pkgs.runCommandLocal "watchtower-golden" {
    nativeBuildInputs = [ pkgs.python3 ];
    src = lib.fileset.toSource {
      root = ../.;
      fileset = lib.fileset.unions [
        ../flake.lock
        ../flake.nix
        ../nixos
        ../tests/nix
      ];
    };
    passthru = { inherit hosts; };
  } "python3 $src/tests/nix/render --check && touch $out";

  faults = said "faults" (import ./tests/faults.nix { inherit evaluate lib; });

  # Nothing secret is in what everybody can read on the camera.
  secrets =
    pkgs.runCommandLocal "watchtower-secrets" { inherit (hosts.full.config.system.build) etc; }
      ''
        if grep --recursive --dereference-recursive --binary-files=without-match --files-with-matches \
          --extended-regexp 'BEGIN [A-Z ]*PRIVATE KEY' $etc/etc; then
          echo "a private key is in the system" >&2
          exit 1
        fi
        touch $out
      '';

  lint =
    pkgs.runCommandLocal "watchtower-lint"
      {
        nativeBuildInputs = [
          pkgs.deadnix
          pkgs.nixfmt
          pkgs.statix
        ];
        src = lib.fileset.toSource {
          root = ../.;
          fileset = lib.fileset.fileFilter (file: file.hasExt "nix") ../.;
        };
      }
      ''
        find $src -name '*.nix' -exec nixfmt --check {} +
        deadnix --fail $src
        statix check $src
        touch $out
      '';

  vm = import ./tests/appliance.nix {
    inherit pkgs;
    module = self.nixosModules.default;
  };
}
// lib.mapAttrs' (name: configuration: {
  name = "evaluation-${name}";
  value = said "evaluation-${name}" configuration.config.system.build.toplevel.drvPath;
}) self.nixosConfigurations
