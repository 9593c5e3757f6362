# The card: firmware, system, and what is left for the recordings.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.hardware.watchtower;
  label = "watchtower";
  grow = pkgs.writeShellApplication {
    name = "grow-recordings";
    runtimeInputs = with pkgs; [
      coreutils
      e2fsprogs
      systemd
      util-linux
    ];
    text = builtins.readFile ./grow-recordings.sh;
  };
in
{
  options.hardware.watchtower = {
    disk = mkOption {
      type = types.str;
      default = "/dev/mmcblk0";
      description = "The disk that the image was copied to.";
    };
    systemSize = mkOption {
      type = types.ints.unsigned;
      default = 6144;
      description = "MiB for the system, with room for a new one beside the old; the recordings get the rest.";
    };
  };

  config = {
    sdImage.expandOnBoot = false;
    sdImage.preBuildCommands = ''
      truncate --size ${toString cfg.systemSize}M "$root_fs"
      resize2fs "$root_fs"
    '';

    systemd.services.watchtower-recordings-partition = {
      description = "Watchtower: the recordings' partition";
      unitConfig.DefaultDependencies = false;
      before = [
        "shutdown.target"
        "systemd-fsck@dev-disk-by\\x2dlabel-${label}.service"
        "var-lib-watchtower.mount"
      ];
      after = [
        "systemd-udevd.service"
        "${utils.escapeSystemdPath cfg.disk}.device"
      ];
      conflicts = [ "shutdown.target" ];
      requires = [ "${utils.escapeSystemdPath cfg.disk}.device" ];
      restartIfChanged = false;
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        # A large card is checked, too.
        TimeoutStartSec = "30min";
        ExecStart = utils.escapeSystemdExecArgs [
          (lib.getExe grow)
          cfg.disk
          label
        ];
      };
    };

    fileSystems = {
      "/".options = [ "noatime" ];
      "/boot/firmware".options = lib.mkForce [
        "nofail"
        "noauto"
        "umask=0077"
        "x-systemd.automount"
        "x-systemd.idle-timeout=1min"
      ];
      # Without it the camera does not record onto the system's partition instead: it waits.
      "/var/lib/watchtower" = {
        device = "/dev/disk/by-label/${label}";
        fsType = "ext4";
        options = [
          "noatime"
          "nodev"
          "noexec"
          "nofail"
          "nosuid"
          # Else the daemon is given up, for good, with a disk that comes later than systemd's 90 s.
          "x-systemd.device-timeout=infinity"
          "x-systemd.requires=watchtower-recordings-partition.service"
        ];
      };
    };
  };
}
