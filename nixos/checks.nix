# What `nix flake check` builds and evaluates.
{
  lib,
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
        {
          nixpkgs.hostPlatform = lib.mkDefault "x86_64-linux";
        }
      ];
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
