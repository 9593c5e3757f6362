# Your camera: what it sees, who may look, where it is. ancillary/docs/appliance.md of Watchtower goes with it, step by step.
#
#   nix build .#image          the image for the card
#   nixos-rebuild switch --no-reexec --flake .#camera --target-host root@192.168.1.31
#                              a change, on the camera as it runs
{
  inputs.watchtower.url = "github:johnnewman/watchtower";

  outputs =
    { self, watchtower }:
    {
      # pi3, pi4 or pi5.
      nixosConfigurations.camera = watchtower.nixosConfigurations.pi4.extendModules {
        modules = [
          ./camera.nix
          # Built on this computer, for the camera. With an ARM processor: "aarch64-linux", here and below.
          { nixpkgs.buildPlatform = "x86_64-linux"; }
        ];
      };
      packages.x86_64-linux.image = self.nixosConfigurations.camera.config.system.build.sdImage;
    };
}
