# The test bed of tests/vm: the virtual machine's devices under names that stay.
#
# Two vivid devices (YUYV, NV12) as /dev/video20 and 21, a v4l2loopback that delivers MJPEG as 22, vicodec's encoder; a gpio-sim
# chip; the microcontroller on the gadget serial port; the temperature in a file.
{
  services.watchtower = {
    enable = true;
    settings = {
      default_camera = "yuyv";
      storage.max_used = 0.9;
    };
    # As many pictures a second as an emulated processor encodes in time.
    cameras = {
      yuyv = {
        source = "v4l2:/dev/video20";
        size = "320x180";
        fps = 5;
        microcontroller = {
          servo_on = 90;
          servo_off = 0;
        };
      };
      nv12 = {
        source = "v4l2:/dev/video21";
        size = "320x180";
        fps = 5;
      };
      mjpeg = {
        source = "v4l2:/dev/video22";
        size = "1280x720";
        fps = 5;
      };
    };
    serial = {
      enable = true;
      port = "/dev/ttyACM0";
    };
    fan = {
      enable = true;
      chipDriver = [ "gpio-sim" ];
      sensor = "/run/temperature";
    };
    gateway = {
      enable = true;
      serverName = "vm.example.org";
      certificate = "/var/lib/watchtower-tls/server.pem";
      certificateKey = "/var/lib/watchtower-tls/server.key";
      clientCa = "/var/lib/watchtower-tls/clients-ca.pem";
      clientCrl = "/var/lib/watchtower-tls/clients-crl.pem";
    };
  };
  # As the module does it with the Raspberry Pi's hardware encoder.
  services.udev.extraRules = ''
    SUBSYSTEM=="video4linux", ATTR{name}=="stateful-encoder*", GROUP="watchtower-camera", MODE="0660"
  '';
}
