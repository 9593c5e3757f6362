# What the hosts of tests/nix/golden share: a machine that is never built.
{
  boot.loader.grub.enable = false;
  fileSystems."/" = {
    device = "/dev/disk/by-label/root";
    fsType = "ext4";
  };
  services.openssh.enable = true;
  system.stateVersion = "26.05";
}
