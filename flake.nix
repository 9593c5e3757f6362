{
  description = "Watchtower: a do-it-yourself security camera";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    crane.url = "github:ipetkov/crane";
    nixos-hardware.url = "github:NixOS/nixos-hardware";
    nixos-hardware.inputs.nixpkgs.follows = "nixpkgs";
  };

  outputs =
    {
      self,
      nixpkgs,
      crane,
      nixos-hardware,
    }:
    let
      inherit (nixpkgs) lib;
      eachSystem =
        f: lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: f nixpkgs.legacyPackages.${system});

      watchtower = pkgs: pkgs.callPackage ./nixos/package.nix { craneLib = crane.mkLib pkgs; };

      boards = [
        "pi3"
        "pi4"
        "pi5"
      ];
      board =
        name:
        lib.nixosSystem {
          modules = [
            self.nixosModules.default
            nixos-hardware.nixosModules.${lib.replaceString "pi" "raspberry-pi-" name}
            ./nixos/image
            ./nixos/image/${name}.nix
          ];
        };
      # The same system, built on a machine of another kind.
      builtOn =
        system: configuration:
        configuration.extendModules { modules = [ { nixpkgs.buildPlatform = system; } ]; };
    in
    {
      packages = eachSystem (
        pkgs:
        {
          default = watchtower pkgs;
          watchtower = watchtower pkgs;
          watchtower-aarch64 = watchtower (
            if pkgs.stdenv.hostPlatform.isAarch64 then pkgs else pkgs.pkgsCross.aarch64-multiplatform
          );
          firmware = pkgs.callPackage ./nixos/firmware.nix { };
        }
        // lib.listToAttrs (
          map (name: {
            name = "sd-image-${name}";
            value =
              (builtOn pkgs.stdenv.hostPlatform.system self.nixosConfigurations.${name})
              .config.system.build.sdImage;
          }) boards
        )
      );

      apps = eachSystem (pkgs: import ./nixos/apps.nix { inherit pkgs self; });

      nixosModules = {
        default =
          { pkgs, ... }:
          {
            imports = [ ./nixos/module ];
            services.watchtower = {
              package = lib.mkDefault (watchtower pkgs);
              checkPackage = lib.mkDefault (watchtower pkgs.buildPackages);
            };
          };
        gateway = ./nixos/gateway.nix;
        fleet-proxy = ./nixos/fleet-proxy.nix;
      };

      nixosConfigurations = lib.genAttrs boards board;

      templates.default = {
        path = ./nixos/template;
        description = "A camera of your own: what it sees, who may look, where it is";
      };

      devShells = eachSystem (pkgs: {
        default = pkgs.callPackage ./nixos/shell.nix { watchtower = watchtower pkgs; };
      });

      formatter = eachSystem (pkgs: pkgs.nixfmt-tree);

      checks = eachSystem (
        pkgs:
        import ./nixos/checks.nix {
          inherit
            lib
            nixos-hardware
            pkgs
            self
            ;
        }
      );
    };
}
