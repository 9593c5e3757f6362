# watchtower-serial.service: the one process that opens the microcontroller's port.
{
  config,
  lib,
  utils,
  ...
}:
let
  inherit (lib) mkEnableOption mkOption types;
  cfg = config.services.watchtower;
  opt = cfg.serial;
  # A USB adapter comes and goes, the processor's own UART stays.
  isUsb = lib.any (name: lib.hasInfix name opt.port) [
    "/dev/serial/"
    "ttyACM"
    "ttyUSB"
  ];
  # systemd knows a class of devices only once its driver is there.
  drivers = lib.optionals isUsb [
    "modprobe@cdc_acm.service"
    "modprobe@usbserial.service"
  ];
  name = lib.removePrefix "/dev/" opt.port;
  match = if lib.hasInfix "/" name then "SYMLINK==\"${name}\"" else "KERNEL==\"${name}\"";
in
{
  options.services.watchtower.serial = {
    enable = mkEnableOption "the service for the microcontroller: light, light sensor, servo";
    port = mkOption {
      type = types.str;
      default = "/dev/serial0";
      example = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A9007x-if00-port0";
      description = "The serial port, by a name that stays.";
    };
    node = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "ttyAMA0";
      description = "The kernel's name of the port, if `port` is a link that nothing else makes. The images for the Raspberry Pi set it.";
    };
    parkAngle = mkOption {
      type = types.nullOr types.ints.unsigned;
      default = null;
      example = 0;
      description = "Where the servo is parked when the service ends, 0 to 180 degrees; where the last stop put it unless set.";
    };
  };

  config = lib.mkIf (cfg.enable && opt.enable) {
    users.users.watchtower-serial = {
      isSystemUser = true;
      group = "watchtower-serial";
    };
    users.groups.watchtower-serial = { };

    services.udev.extraRules =
      if opt.node != null then
        ''
          SUBSYSTEM=="tty", KERNEL=="${opt.node}", SYMLINK+="${name}", GROUP="watchtower-serial", MODE="0660"
        ''
      else
        ''
          SUBSYSTEM=="tty", ${match}, GROUP="watchtower-serial", MODE="0660"
        '';

    # Nothing else talks or listens on that line.
    systemd.services."serial-getty@${if opt.node != null then opt.node else name}".enable = false;

    systemd.services.watchtower-serial = {
      description = "Watchtower: the microcontroller";
      wantedBy = [ "multi-user.target" ];
      after = drivers;
      wants = drivers;
      startLimitIntervalSec = 0;
      serviceConfig = import ../hardening.nix // {
        Type = "notify";
        ExecStart = utils.escapeSystemdExecArgs (
          [
            (lib.getExe cfg.package)
            "serial"
            "--port"
            opt.port
          ]
          ++ lib.optionals (opt.parkAngle != null) [
            "--park-angle"
            (toString opt.parkAngle)
          ]
        );
        Restart = "always";
        RestartSec = 2;
        RestartPreventExitStatus = 78;
        TimeoutStopSec = 10;
        WatchdogSec = 60;

        User = "watchtower-serial";
        Group = "watchtower-serial";
        # The camera daemon is in the group, and so may ask.
        RuntimeDirectory = "watchtower-serial";
        RuntimeDirectoryMode = "0750";
        UMask = "0007";

        DeviceAllow =
          if isUsb then
            [
              "char-ttyACM rw"
              "char-ttyUSB rw"
            ]
          else if opt.node != null then
            # The node itself: udev may make the link after the unit has started, too late for this list.
            [ "/dev/${opt.node} rw" ]
          else
            [ "${opt.port} rw" ];

        MemoryMax = "64M";
        TasksMax = 16;
      };
    };
  };
}
