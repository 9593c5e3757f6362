# What an owner may get wrong, and the words each gets. Evaluated, not built: `nix flake check` fails where a fault passes
# unnoticed, or is answered by other words.
{ lib, evaluate }:
let
  camera = source: { services.watchtower.cameras.front.source = lib.mkForce source; };
  settings = settings: { services.watchtower = { inherit settings; }; };
  pi =
    board: module:
    evaluate [
      { services.watchtower.cameras.front.source = "v4l2:/dev/watchtower/picamera"; }
      module
    ] board;
  faults = {
    "no camera" = {
      module.services.watchtower.cameras = lib.mkForce { };
      says = "has no camera";
    };
    "a camera without a device" = {
      module = camera null;
      says = "cameras.front has no device";
    };
    "a device that is none" = {
      module = camera "v4l2:video0";
      says = "write its path, such as v4l2:/dev/video0";
    };
    "a device twice" = {
      module.services.watchtower = {
        cameras.yard.source = "v4l2:/dev/video0";
        settings.default_camera = "front";
      };
      says = "have the same device";
    };
    "no default among two" = {
      module.services.watchtower.cameras.yard.source = "pattern";
      says = "settings.default_camera";
    };
    "a name that is no path" = {
      module.services.watchtower = {
        cameras."Front Door".source = "pattern";
        settings.default_camera = "front";
      };
      says = "a name is 1 to 32 of a-z";
    };
    "an upload to nowhere" = {
      module.services.watchtower.cameras.front.upload.kbit = 500;
      says = "nowhere to upload to";
    };
    "an upload without a token" = {
      module = settings { upload.dropbox.app_key = "a1b2c3d4e5f6g7h"; };
      says = "upload.dropbox has no way in";
    };
    "a store without a key" = {
      module = settings {
        upload.s3 = {
          endpoint = "https://s3.example.org";
          bucket = "b";
        };
      };
      says = "upload.s3 has no way in";
    };
    "a secret in the store" = {
      module = settings { upload.dropbox.token_file = "${builtins.toFile "token" "secret"}"; };
      says = "can be read by everyone";
    };
    "an angle that no servo has" = {
      module.services.watchtower = {
        serial.enable = true;
        cameras.front.microcontroller.servo_on = 200;
      };
      says = "a whole number from 0 to 180";
    };
    "a microcontroller that nobody talks to" = {
      module.services.watchtower.cameras.front.microcontroller = { };
      says = "serial.enable = true";
    };
    "a serial line that the kernel talks on" = {
      module = {
        services.watchtower.serial = {
          enable = true;
          port = "/dev/ttyS0";
        };
        boot.kernelParams = [ "console=ttyS0,115200" ];
      };
      says = "take its console= out";
    };
    "a port that sshd has" = {
      module.services.watchtower = {
        gateway.enable = lib.mkForce false;
        settings.web.listen = "127.0.0.1:22";
      };
      says = "takes port 22";
    };
    "a fan that never rests" = {
      module.services.watchtower.fan = {
        enable = true;
        offCelsius = 60;
      };
      says = "the fan would never rest";
    };
    "a key of the gateway in the store" = {
      module.services.watchtower.gateway.certificateKey = lib.mkForce "${builtins.toFile "key" "secret"}";
      says = "gateway.certificateKey";
    };
    "a picamera on a Pi 5" = {
      host = pi "pi5" { hardware.watchtower.picamera.enable = true; };
      says = "the Raspberry Pi 5 has no legacy camera";
    };
    "a picamera with a kernel that has none" = {
      host = pi "pi4" (
        { pkgs, ... }:
        {
          hardware.watchtower.picamera.enable = true;
          boot.kernelPackages = pkgs.linuxPackages_latest;
        }
      );
      says = "has no bcm2835-v4l2 any more";
    };
  };
  base.services.watchtower = {
    enable = true;
    gateway = {
      enable = true;
      serverName = "front.example.org";
      certificate = "/var/lib/watchtower-tls/server.pem";
      certificateKey = "/var/lib/watchtower-tls/server.key";
      clientCa = "/var/lib/watchtower-tls/clients-ca.pem";
    };
    cameras.front.source = "v4l2:/dev/video0";
    settings.storage.max_used = 0.9;
  };
  failed = host: map (a: a.message) (lib.filter (a: !a.assertion) host.config.assertions);
  unnoticed =
    name: fault:
    let
      said = failed (
        fault.host or (evaluate [
          base
          fault.module
        ] null)
      );
    in
    lib.optional (
      !lib.any (lib.hasInfix fault.says) said
    ) "${name}: expected words with \"${fault.says}\", got ${toString said}";
  wrong =
    lib.concatLists (lib.mapAttrsToList unnoticed faults)
    ++ map (said: "without a fault: ${said}") (failed (evaluate [ base ] null));
in
if wrong == [ ] then
  "${toString (lib.length (lib.attrNames faults))} faults, each with its remedy"
else
  throw (lib.concatStringsSep "\n" wrong)
