# watchtower.service, its socket, its user, and who may open the cameras.
{
  config,
  lib,
  utils,
  ...
}:
let
  inherit (lib) mkIf mkOption types;
  cfg = config.services.watchtower;
  secrets = (import ./secrets.nix { inherit lib; }).all cfg.declared;
  storage = cfg.declared.storage.path;
  cameras = lib.attrValues (cfg.declared.cameras or { });
  startsWith = prefixes: text: lib.any (prefix: lib.hasPrefix prefix text) prefixes;

  onSocket = cfg.declared.web.listen == "systemd";
  # Only for what was declared: a camera on the network, uploads, an address to listen on.
  networked =
    (cfg.declared ? upload)
    || (cfg.declared.web ? listen_tls)
    || !(onSocket || lib.hasPrefix "unix:" cfg.declared.web.listen)
    || lib.any (
      camera:
      startsWith [
        "http:"
        "https:"
        "command:"
      ] (camera.source or "")
    ) cameras;

  videoDevices = map (camera: lib.removePrefix "v4l2:" camera.source) (
    lib.filter (camera: lib.hasPrefix "v4l2:" (camera.source or "")) cameras
  );
  # The Raspberry Pi's encoder is a video device as well.
  hardwareEncoder = lib.any (camera: camera.encoder or "auto" != "software") cameras;
  usesVideo = videoDevices != [ ] || hardwareEncoder;
  # systemd knows a class of devices only once its driver is there.
  videoDriver = lib.optional usesVideo "modprobe@videodev.service";
  # A node is known to udev by its own name, or by the link that an earlier rule gave it.
  rule =
    device:
    let
      name = lib.removePrefix "/dev/" device;
      match = if lib.hasInfix "/" name then "SYMLINK==\"${name}\"" else "KERNEL==\"${name}\"";
    in
    ''SUBSYSTEM=="video4linux", ${match}, GROUP="watchtower-camera", MODE="0660"'';
in
{
  options.services.watchtower = {
    socketPath = mkOption {
      type = types.str;
      internal = true;
      readOnly = true;
      default = "/run/watchtower/http.sock";
      description = "The socket that systemd hands to the daemon.";
    };
    socketGroup = mkOption {
      type = types.str;
      default = if cfg.gateway.enable then config.services.nginx.group else "watchtower";
      defaultText = lib.literalExpression "if gateway.enable then config.services.nginx.group else \"watchtower\"";
      description = "Who may open the daemon's socket: a proxy that asks for client certificates and passes them on, nobody else.";
    };
    memoryMax = mkOption {
      type = types.str;
      default = "70%";
      example = "512M";
      description = "With more memory than this the daemon is ended and started again, before the whole machine suffers.";
    };
  };

  config = mkIf cfg.enable {
    users.users.watchtower = {
      isSystemUser = true;
      group = "watchtower";
    };
    users.groups.watchtower = { };
    users.groups.watchtower-camera = { };

    # Only the declared cameras: the others stay with root and `video`, which the daemon is not in.
    services.udev.extraRules =
      lib.concatMapStrings (device: rule device + "\n") videoDevices
      + lib.optionalString hardwareEncoder ''
        SUBSYSTEM=="video4linux", ATTR{name}=="bcm2835-codec-encode", GROUP="watchtower-camera", MODE="0660"
      '';

    systemd.sockets.watchtower = mkIf onSocket {
      description = "Watchtower's API and web app, for nginx";
      wantedBy = [ "sockets.target" ];
      socketConfig = {
        ListenStream = cfg.socketPath;
        SocketUser = "root";
        SocketGroup = cfg.socketGroup;
        SocketMode = "0660";
      };
    };

    systemd.tmpfiles.settings."10-watchtower" = mkIf (storage != "/var/lib/watchtower") {
      ${storage}.d = {
        user = "watchtower";
        group = "watchtower";
        mode = "0750";
      };
    };

    systemd.services.watchtower = {
      description = "Watchtower: cameras, recordings, web interface";
      documentation = [ "https://github.com/johnnewman/watchtower" ];
      wantedBy = [ "multi-user.target" ];
      # The last known time first: recordings are named by it.
      after = [
        "network.target"
        "time-set.target"
      ]
      ++ videoDriver
      ++ lib.optional cfg.serial.enable "watchtower-serial.service";
      wants = [ "time-set.target" ] ++ videoDriver;
      requires = lib.optional onSocket "watchtower.socket";
      inherit (cfg) path;
      # Cameras come and go, and so do disks: it is tried for ever, but a faulty configuration (78) is not.
      startLimitIntervalSec = 0;
      unitConfig.RequiresMountsFor = storage;
      serviceConfig =
        import ../hardening.nix
        // {
          Type = "notify";
          ExecStart = utils.escapeSystemdExecArgs [
            (lib.getExe cfg.package)
            "run"
            "--config"
            cfg.configFile
          ];
          Restart = "always";
          RestartSec = 2;
          RestartPreventExitStatus = 78;
          # Fed while every grab loop gets somewhere, or tries to.
          WatchdogSec = 60;
          # What is being recorded is finished.
          TimeoutStopSec = 30;

          User = "watchtower";
          Group = "watchtower";
          SupplementaryGroups = [
            "watchtower-camera"
          ]
          ++ lib.optional cfg.serial.enable "watchtower-serial";

          # A path is looked up when the unit starts; a USB camera comes back with another number. So the class is allowed
          # here, and who may open which node is said by its group.
          DeviceAllow =
            lib.optional usesVideo "char-video4linux rw" ++ map (device: "${device} rw") cfg.devices;

          # /proc/meminfo, for health; the processes of others stay invisible.
          ProcSubset = "all";

          # A secret that is missing stops the upload that needs it, not the recording: then it is empty.
          LoadCredential = map (secret: "${secret.name}:${secret.file}") secrets;
          SetCredential = map (secret: "${secret.name}:\\n") secrets;

          LimitNOFILE = 4096;
          MemoryMax = cfg.memoryMax;
          TasksMax = 256;
        }
        // (
          if storage == "/var/lib/watchtower" then
            {
              StateDirectory = "watchtower";
              StateDirectoryMode = "0750";
            }
          else
            { ReadWritePaths = [ storage ]; }
        )
        // lib.optionalAttrs networked {
          # Uploads, network cameras, or an address to listen on were declared.
          IPAddressDeny = "";
          PrivateNetwork = false;
          RestrictAddressFamilies = [
            "AF_INET"
            "AF_INET6"
            "AF_UNIX"
          ];
        };
    };
  };
}
