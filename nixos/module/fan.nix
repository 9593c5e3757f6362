# watchtower-fan.service: the processor's temperature and one line of the GPIO chip; no network, no file of anybody's.
{
  config,
  lib,
  utils,
  ...
}:
let
  inherit (lib) mkEnableOption mkOption types;
  cfg = config.services.watchtower;
  opt = cfg.fan;
in
{
  options.services.watchtower.fan = {
    enable = mkEnableOption "the service that switches the fan by the processor's temperature";
    pin = mkOption {
      type = types.ints.unsigned;
      default = 5;
      description = "The line of the chip; on a Raspberry Pi the number in the processor's (BCM) numbering.";
    };
    onCelsius = mkOption {
      type = types.ints.between 0 120;
      default = 53;
      description = "Above this temperature the fan goes on.";
    };
    offCelsius = mkOption {
      type = types.ints.between 0 120;
      default = 50;
      description = "Below this temperature it goes off again.";
    };
    holdSeconds = mkOption {
      type = types.ints.unsigned;
      default = 300;
      description = "But not before it has run so long.";
    };
    sensor = mkOption {
      type = types.str;
      default = "/sys/class/thermal/thermal_zone0/temp";
      description = "The temperature, in thousandths of a degree.";
    };
    chipDriver = mkOption {
      type = types.listOf types.str;
      default = [
        "pinctrl-bcm2835"
        "pinctrl-rp1"
      ];
      description = "The kernel's driver of the GPIO chip: the chip's number differs from board to board and from kernel to kernel.";
    };
  };

  config = lib.mkIf (cfg.enable && opt.enable) {
    assertions = [
      {
        assertion = opt.offCelsius <= opt.onCelsius;
        message = "services.watchtower.fan.offCelsius (${toString opt.offCelsius}) is above onCelsius (${toString opt.onCelsius}): the fan would never rest; lower it.";
      }
    ];
    users.groups.watchtower-gpio = { };
    services.udev.extraRules = ''
      SUBSYSTEM=="gpio", KERNEL=="gpiochip*", DRIVERS=="${lib.concatStringsSep "|" opt.chipDriver}", SYMLINK+="watchtower/gpio", GROUP="watchtower-gpio", MODE="0660"
    '';
    systemd.services.watchtower-fan = {
      description = "Watchtower: the fan";
      wantedBy = [ "multi-user.target" ];
      startLimitIntervalSec = 0;
      serviceConfig = import ../hardening.nix // {
        Type = "notify";
        ExecStart = utils.escapeSystemdExecArgs [
          (lib.getExe cfg.package)
          "fan"
          "--chip"
          "/dev/watchtower/gpio"
          "--pin"
          (toString opt.pin)
          "--on-celsius"
          (toString opt.onCelsius)
          "--off-celsius"
          (toString opt.offCelsius)
          "--hold-s"
          (toString opt.holdSeconds)
          "--sensor"
          opt.sensor
          "--state"
          "/run/watchtower-fan/state.json"
        ];
        Restart = "always";
        RestartSec = 2;
        RestartPreventExitStatus = 78;
        TimeoutStopSec = 10;
        WatchdogSec = 60;

        DynamicUser = true;
        SupplementaryGroups = [ "watchtower-gpio" ];
        # The state, for whoever watches: there is nothing in it to hide.
        RuntimeDirectory = "watchtower-fan";
        RuntimeDirectoryMode = "0755";
        UMask = "0022";

        # The chip is part of the processor and never goes away.
        DeviceAllow = [ "/dev/watchtower/gpio rw" ];

        MemoryMax = "64M";
        TasksMax = 16;
      };
    };
  };
}
