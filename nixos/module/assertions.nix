# What must hold before a system is built, each with its remedy. The configuration itself is checked by
# `watchtower check-config`; here is what only the system knows, and the commonest faults while the names are still the owner's.
{ config, lib, ... }:
let
  cfg = config.services.watchtower;
  secrets = import ./secrets.nix { inherit lib; };
  cameras = cfg.declared.cameras or { };
  option = name: "services.watchtower.cameras.${name}";
  require = assertion: message: { inherit assertion message; };
  each = f: lib.concatLists (lib.mapAttrsToList f cameras);

  device = camera: lib.removePrefix "v4l2:" camera.source;
  isV4l2 = camera: lib.hasPrefix "v4l2:" (camera.source or "");
  devices = map device (lib.filter isV4l2 (lib.attrValues cameras));

  angles = name: camera: [
    (angle "${option name}.microcontroller.servo_on" (camera.microcontroller.servo_on or 0))
    (angle "${option name}.microcontroller.servo_off" (camera.microcontroller.servo_off or 0))
  ];
  angle =
    key: value:
    require (
      lib.isInt value && 0 <= value && value <= 180
    ) "${key} is ${toString value}: a servo's angle is a whole number from 0 to 180.";

  upload = cfg.declared.upload or { };
  dropbox = upload.dropbox or { };

  # Where the daemon listens beside nginx, if on TCP.
  port =
    let
      found = lib.match ".*:([0-9]+)" cfg.declared.web.listen;
    in
    if found == null then null else lib.toInt (lib.head found);
  taken =
    lib.optionals config.services.openssh.enable config.services.openssh.ports
    ++ lib.optional cfg.gateway.enable cfg.gateway.port;

  tty = lib.removePrefix "/dev/" cfg.serial.port;
  console = lib.filter (lib.hasPrefix "console=") config.boot.kernelParams;
in
{
  config = lib.mkIf cfg.enable {
    assertions = [
      (require (cameras != { })
        "services.watchtower has no camera: declare one, for example services.watchtower.cameras.front.source = \"v4l2:/dev/video0\"."
      )
      (require (lib.length (lib.attrNames cameras) < 2 || cfg.declared ? default_camera)
        "services.watchtower has several cameras: say which one is served at / with services.watchtower.settings.default_camera."
      )
      (require (lib.allUnique devices) "Two cameras of services.watchtower have the same device (${toString devices}): give each its own; `watchtower probe` lists them.")
      (require (port == null || !lib.elem port taken)
        "services.watchtower.settings.web.listen takes port ${toString port}, which sshd or the gateway has: choose another one."
      )
      (require
        (!(upload ? dropbox) || dropbox ? token_file || (dropbox ? app_key && dropbox ? refresh_token_file))
        "services.watchtower.settings.upload.dropbox has no way in: set app_key and refresh_token_file (`watchtower dropbox-login` helps to get them), or token_file."
      )
      (require (!(upload ? s3) || (upload.s3 ? access_key_file && upload.s3 ? secret_key_file))
        "services.watchtower.settings.upload.s3 has no way in: set access_key_file and secret_key_file to files on the camera."
      )
      (require
        (
          !lib.any (camera: camera ? microcontroller && !(camera.microcontroller ? socket)) (
            lib.attrValues cameras
          )
          || cfg.serial.enable
        )
        "A camera of services.watchtower has a microcontroller, but the service that talks to it is off: set services.watchtower.serial.enable = true."
      )
      (require (cfg.serial.parkAngle == null || !cfg.serial.enable || cfg.serial.parkAngle <= 180)
        "services.watchtower.serial.parkAngle is ${toString cfg.serial.parkAngle}: a servo's angle is a whole number from 0 to 180."
      )
      (require (!cfg.serial.enable || !lib.any (lib.hasInfix "=${tty},") (map (c: "${c},") console))
        "The kernel talks on ${cfg.serial.port}, which services.watchtower.serial needs: take its console= out of boot.kernelParams."
      )
    ]
    ++ each (
      name: camera:
      [
        (require (
          lib.match "[a-z0-9-]{1,32}" name != null
        ) "services.watchtower.cameras has the name \"${name}\": a name is 1 to 32 of a-z, 0-9 and -.")
        (require (camera ? source)
          "${option name} has no device: set ${option name}.source, for example \"v4l2:/dev/video0\"; `watchtower probe` lists what there is."
        )
        (require (!isV4l2 camera || lib.hasPrefix "/dev/" (device camera))
          "${option name}.source names ${device camera}, which is no device: write its path, such as v4l2:/dev/video0."
        )
        (require (!(camera ? upload) || upload ? dropbox || upload ? s3)
          "${option name}.upload is set, but nowhere to upload to: configure services.watchtower.settings.upload.dropbox or .s3 with its token file."
        )
      ]
      ++ lib.optionals (camera ? microcontroller) (angles name camera)
    )
    ++ map (
      secret:
      require
        (lib.hasPrefix "/" secret.file && (secret.public || !lib.hasPrefix builtins.storeDir secret.file))
        "services.watchtower: ${secret.key} is ${secret.file}. It has to be the path of a file on the camera, as text in quotation marks: what is in the Nix store can be read by everyone."
    ) (secrets.all cfg.declared);
  };
}
