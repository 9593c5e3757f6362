# `services.watchtower`: the cameras of this machine, as their owner declares them.
#
# Here are the options and the generated configuration. What must hold is in assertions.nix, the units in daemon.nix,
# serial.nix and fan.nix, nginx in ../gateway.nix, the firewall in ../firewall.nix. Without a flake: set `package` and
# `checkPackage`.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkEnableOption mkOption types;
  cfg = config.services.watchtower;
  toml = pkgs.formats.toml { };
  secrets = import ./secrets.nix { inherit lib; };

  camera = types.submodule {
    freeformType = toml.type;
    options = {
      source = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "v4l2:/dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920-video-index0";
        description = "Where the pictures come from. `watchtower probe` lists what there is.";
      };
      credentials_file = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "/etc/watchtower/yard.secret";
        description = "A file with `USER:PASSWORD`, for a camera on the network.";
      };
      microcontroller = mkOption {
        type = types.nullOr toml.type;
        default = null;
        example = {
          servo_on = 90;
          servo_off = 0;
        };
        description = "The light, the light sensor and the servo of this camera; an empty set for all defaults.";
      };
    };
  };

  # Options that were left alone are not written.
  written = lib.filterAttrsRecursive (_: value: value != null);
  declared = written (
    lib.recursiveUpdate cfg.settings (lib.optionalAttrs (cfg.cameras != { }) { inherit (cfg) cameras; })
  );
  unchecked = toml.generate "watchtower.toml" (secrets.handedOver "watchtower.service" declared);
  checked = pkgs.runCommandLocal "watchtower.toml" { } ''
    ${lib.getExe cfg.checkPackage} check-config ${unchecked}
    cp ${unchecked} $out
  '';
in
{
  imports = [
    ./assertions.nix
    ./daemon.nix
    ./fan.nix
    ./serial.nix
    ../firewall.nix
    ../gateway.nix
  ];

  options.services.watchtower = {
    enable = mkEnableOption "Watchtower, a security camera";

    package = mkOption {
      type = types.package;
      defaultText = lib.literalMD "Watchtower of this flake";
      description = "The program, for this machine.";
    };

    checkPackage = mkOption {
      type = types.package;
      defaultText = lib.literalMD "Watchtower of this flake, for the machine that builds";
      description = "The program that checks the configuration while the system is built.";
    };

    checkConfig = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether `watchtower check-config` has to accept the configuration before a system with it can be built. Turn it off only
        where the building machine cannot run the program.
      '';
    };

    settings = mkOption {
      type = types.submodule {
        freeformType = toml.type;
        options.storage.path = mkOption {
          type = types.str;
          default = "/var/lib/watchtower";
          description = "Everything that the daemon writes is below this folder.";
        };
        options.web.listen = mkOption {
          type = types.str;
          default = if config.services.watchtower.gateway.enable then "systemd" else "127.0.0.1:8080";
          defaultText = lib.literalExpression ''if gateway.enable then "systemd" else "127.0.0.1:8080"'';
          description = "Where API and web app are served. `systemd`: a Unix socket that systemd owns and nginx may open.";
        };
      };
      default = { };
      example = {
        storage.max_used = 0.9;
        log = "warn";
      };
      description = ''
        The configuration as `ancillary/docs/config.md` describes it, in Nix instead of TOML. Values of keys that end in `_file`,
        and of `public_key_path`, are paths on the camera: systemd reads those files as root and hands them to the daemon as credentials.
      '';
    };

    cameras = mkOption {
      type = types.attrsOf camera;
      default = { };
      example.front = {
        source = "v4l2:/dev/video0";
        label = "Front door";
        motion.sensitivity = 0.7;
      };
      description = "The cameras by name: each takes every key of the configuration's table `[cameras.NAME]`.";
    };

    devices = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "/dev/vchiq" ];
      description = ''
        Devices that the daemon may use besides those of `v4l2:` sources, such as those a `command:` source needs; written as
        for systemd's `DeviceAllow=`, without the letters. Its user's group has to be allowed to open them, too.
      '';
    };

    path = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = lib.literalExpression "[ pkgs.rpicam-apps ]";
      description = "Programs that `command:` sources name without a path.";
    };

    declared = mkOption {
      type = types.attrs;
      internal = true;
      readOnly = true;
      description = "The configuration as declared, before secrets are replaced by credentials.";
    };

    configFile = mkOption {
      type = types.path;
      internal = true;
      readOnly = true;
      description = "The generated configuration.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.watchtower = {
      inherit declared;
      configFile = if cfg.checkConfig then checked else unchecked;
    };
    environment.etc."watchtower/watchtower.toml".source = cfg.configFile;
    environment.systemPackages = [ cfg.package ];
  };
}
