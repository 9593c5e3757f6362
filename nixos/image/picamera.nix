# The camera on the ribbon cable of a Raspberry Pi 3 or 4, by the firmware's legacy stack: /dev/watchtower/picamera.
#
# For the sensors OV5647, IMX219 and IMX477. Its makers do not support it any more on 64-bit systems; not tried on a board. All other
# cameras and boards: a `command:` source with rpicam-vid (ancillary/docs/appliance.md).
{ config, lib, ... }:
let
  cfg = config.hardware.watchtower;
  kernel = config.boot.kernelPackages.kernel.version;
in
{
  options.hardware.watchtower.picamera.enable =
    lib.mkEnableOption "the camera on the ribbon cable (Raspberry Pi 3 and 4)";

  config = lib.mkIf cfg.picamera.enable {
    assertions = [
      {
        assertion = cfg.board != "pi5";
        message = "hardware.watchtower.picamera: the Raspberry Pi 5 has no legacy camera. Use a USB camera, or a source \"command:rpicam-vid …\".";
      }
      {
        assertion = lib.versionOlder kernel "6.19";
        message = "hardware.watchtower.picamera: Linux ${kernel} has no bcm2835-v4l2 any more. Stay with boot.kernelPackages of 6.18 or older, or use a source \"command:rpicam-vid …\".";
      }
    ];
    hardware.raspberry-pi.configtxt.settings.all = {
      camera_auto_detect = false;
      start_x = true;
      gpu_mem = 128;
    };
    boot.kernelModules = [ "bcm2835-v4l2" ];
    # Without these it gives no more than 1280x720.
    boot.extraModprobeConfig = ''
      options bcm2835-v4l2 max_video_width=3280 max_video_height=2464
    '';
    services.udev.extraRules = lib.mkBefore ''
      SUBSYSTEM=="video4linux", ENV{ID_V4L_PRODUCT}=="mmal service*", SYMLINK+="watchtower/picamera", GROUP="watchtower-camera", MODE="0660"
    '';
  };
}
