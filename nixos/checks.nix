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

  # The hosts of tests/nix/golden, on the platform that the golden files are of.
  host =
    name:
    lib.nixosSystem {
      modules = [
        self.nixosModules.default
        self.nixosModules.fleet-proxy
        ./hosts/${name}.nix
      ]
      ++ (
        # Everything that there is, is on a Raspberry Pi.
        if name == "full" then
          [
            nixos-hardware.nixosModules.raspberry-pi-4
            ./image
            ./image/pi4.nix
            { nixpkgs.buildPlatform = "x86_64-linux"; }
          ]
        else
          [
            ./hosts/common.nix
            { nixpkgs.hostPlatform = "x86_64-linux"; }
          ]
      );
    };
in
{
  inherit firmware;
  build = watchtower;
  inherit (watchtower) clippy tests format;

  golden = pkgs.runCommandLocal "watchtower-golden" {
    passthru.hosts = lib.genAttrs [
      "usb"
      "full"
      "fleet"
      "vm"
    ] host;
  } "touch $out";
}
